//! BIP-340 signatures over secp256k1.

use secp256k1::schnorr::Signature;
use secp256k1::{All, Keypair, Secp256k1, XOnlyPublicKey};
use std::sync::LazyLock;
use types::PubKey;

static CONTEXT: LazyLock<Secp256k1<All>> = LazyLock::new(Secp256k1::new);

/// The key pair of a secret, if it is one (neither zero nor beyond the curve's order).
pub(crate) fn keypair(secret: &[u8; 32]) -> Option<Keypair> {
    Keypair::from_seckey_slice(&CONTEXT, secret).ok()
}

/// The x-only public key.
pub(crate) fn public(pair: &Keypair) -> PubKey {
    PubKey(pair.x_only_public_key().0.serialize())
}

/// Signs a 32-byte message with the given auxiliary randomness; the result depends on nothing else.
pub(crate) fn sign(pair: &Keypair, message: &[u8; 32], aux: &[u8; 32]) -> [u8; 64] {
    CONTEXT.sign_schnorr_with_aux_rand(message, pair, aux).to_byte_array()
}

/// Whether `signature` is `key`'s over `message`.
pub(crate) fn verify(key: &PubKey, message: &[u8; 32], signature: &[u8; 64]) -> bool {
    let (Ok(key), Ok(signature)) = (XOnlyPublicKey::from_slice(&key.0), Signature::from_slice(signature)) else {
        return false;
    };
    CONTEXT.verify_schnorr(&signature, message, &key).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors 0 and 1 of BIP-340.
    #[test]
    fn published_vectors() {
        let one = |secret: &str, key: &str, aux: &str, message: &str, signature: &str| {
            let bytes = |text: &str| -> [u8; 32] { hex::decode(text).unwrap().try_into().unwrap() };
            let pair = keypair(&bytes(secret)).unwrap();
            assert_eq!(public(&pair).to_string(), key.to_lowercase());
            let made = sign(&pair, &bytes(message), &bytes(aux));
            assert_eq!(hex::encode_upper(made), signature);
            assert!(verify(&public(&pair), &bytes(message), &made));
        };
        one(
            "0000000000000000000000000000000000000000000000000000000000000003",
            "F9308A019258C31049344F85F89D5229B531C845836F99B08601F113BCE036F9",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "E907831F80848D1069A5371B402410364BDF1C5F8307B0084C55F1CE2DCA821525F66A4A85EA8B71E482A74F382D2CE5EBEEE8FDB2172F477DF4900D310536C0",
        );
        one(
            "B7E151628AED2A6ABF7158809CF4F3C762E7160F38B4DA56A784D9045190CFEF",
            "DFF1D77F2A671C5F36183726DB2341BE58FEAE1DA2DECED843240F7B502BA659",
            "0000000000000000000000000000000000000000000000000000000000000001",
            "243F6A8885A308D313198A2E03707344A4093822299F31D0082EFA98EC4E6C89",
            "6896BD60EEAE296DB48A229FF71DFE071BDE413E6D43F917DC8DCF8C78DE33418906D11AC976ABCCB20B091292BFF4EA897EFCB639EA871CFA95F6DE339E4B0A",
        );
    }

    #[test]
    fn zero_is_no_secret() {
        assert!(keypair(&[0; 32]).is_none());
        assert!(keypair(&[0xff; 32]).is_none());
    }
}
