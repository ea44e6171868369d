//! Formats of the shells, which the fuzzed list does without: the settings' file and the store's number.

use formats::{Form, Format};
use node::config::Config;
use serde_json::json;
use store::Store;

pub const FORMATS: &[Format] = &[Format::new("config/toml", config), Format::new("store/format", store_format)];

fn config(bytes: &[u8]) -> Result<Form, String> {
    let text = std::str::from_utf8(bytes).map_err(|err| err.to_string())?;
    let config = Config::parse(text).map_err(|err| err.message)?;
    let value = serde_json::to_value(&config).map_err(|err| err.to_string())?;
    Ok(Form { value, bytes: config.to_text().map_err(|err| err.message)?.into_bytes() })
}

/// The file `FORMAT` beside a database: what it says after a store of that format was opened by a program of its time.
fn store_format(bytes: &[u8]) -> Result<Form, String> {
    let dir = tempfile::tempdir().map_err(|err| err.to_string())?;
    let path = dir.path().join("FORMAT");
    std::fs::write(&path, bytes).map_err(|err| err.to_string())?;
    let number: usize = std::str::from_utf8(bytes).unwrap_or_default().trim().parse().unwrap_or_default();
    let steps = number.checked_sub(1).and_then(|steps| engine::records::STEPS.get(..steps)).ok_or("no such format")?;
    let options = store::Options { steps, ..Default::default() };
    let store = Store::open(dir.path(), &options).map_err(|err| err.to_string())?;
    let bytes = std::fs::read(&path).map_err(|err| err.to_string())?;
    let value = json!({"format": options.format(), "moved_from": store.migrated_from()});
    Ok(Form { value, bytes })
}
