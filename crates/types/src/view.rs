//! The seam between the pure engine and whatever keeps its records.

use crate::Table;
use std::ops::ControlFlow;

/// One change to the kept records. A handled input's changes take effect together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// Which kind of record.
    pub table: Table,
    /// Its key, in the layout that the record kind documents.
    pub key: Vec<u8>,
    /// Its new value; `None` removes it.
    pub value: Option<Vec<u8>>,
}

/// A read failed: the disk, or a record that cannot be read back.
#[derive(Debug, Clone, thiserror::Error)]
#[error("reading {table:?}: {reason}")]
pub struct ViewError {
    /// Where.
    pub table: Table,
    /// What the store said.
    pub reason: String,
}

/// What [`View::scan`] calls for every record: key and value.
pub type Each<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// A consistent read of everything that was handed over to be kept, whether already synced or not.
pub trait View {
    /// The value under `key`.
    ///
    /// # Errors
    /// [`ViewError`] when the store cannot be read.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ViewError>;

    /// Calls `each` for the records whose key begins with `prefix` and is not below `from`, in key order,
    /// until it breaks.
    ///
    /// # Errors
    /// [`ViewError`] when the store cannot be read.
    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], each: &mut Each<'_>) -> Result<(), ViewError>;
}
