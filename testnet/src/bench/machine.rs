//! The machine's own limits: what no program can be faster than.

use crate::latency::Times;
use anyhow::Result;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Instant;

/// Appending 1 KiB to a file and syncing it, in microseconds: the median of 200.
///
/// # Errors
/// What the disk said.
pub fn fsync_us(dir: &Path) -> Result<f64> {
    let mut file = std::fs::File::create(dir.join("fsync"))?;
    let mut times = Vec::new();
    for _ in 0..200 {
        let started = Instant::now();
        file.write_all(&[7; 1024])?;
        file.sync_data()?;
        times.push(started.elapsed());
    }
    Ok((Times::new(times).percentile(0.5).as_secs_f64() * 1e7).round() / 10.0)
}

/// Checking one BIP-340 signature, in microseconds: the median of 2,000.
///
/// # Errors
/// Never with these keys.
pub fn verify_us() -> Result<f64> {
    use secp256k1::{Keypair, Secp256k1};
    let secp = Secp256k1::new();
    let pair = Keypair::from_seckey_slice(&secp, &[7; 32])?;
    let (key, message) = (pair.x_only_public_key().0, [9; 32]);
    let signature = secp.sign_schnorr_no_aux_rand(&message, &pair);
    let mut times = Vec::new();
    for _ in 0..2_000 {
        let started = Instant::now();
        secp.verify_schnorr(&signature, &message, &key)?;
        times.push(started.elapsed());
    }
    Ok((Times::new(times).percentile(0.5).as_secs_f64() * 1e7).round() / 10.0)
}

/// 256 bytes over TCP on loopback and back, between two threads, in microseconds: the median of 2,000.
///
/// # Errors
/// What the system said.
pub fn loopback_us() -> Result<f64> {
    const ROUNDS: usize = 2_000;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let echo = std::thread::spawn(move || -> Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut buffer = [0; 256];
        for _ in 0..ROUNDS {
            stream.read_exact(&mut buffer)?;
            stream.write_all(&buffer)?;
        }
        Ok(())
    });
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut buffer = [7; 256];
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let started = Instant::now();
        stream.write_all(&buffer)?;
        stream.read_exact(&mut buffer)?;
        times.push(started.elapsed());
    }
    echo.join().map_err(|_| anyhow::anyhow!("the echo thread panicked"))??;
    Ok((Times::new(times).percentile(0.5).as_secs_f64() * 1e7).round() / 10.0)
}
