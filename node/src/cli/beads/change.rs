//! Changes as people write them: `field=value`, labels, dependencies, comments.

use crate::CliError;
use beads::Kind;
use engine::BeadChange;
use serde_json::Value;

/// Flags that describe a change.
#[derive(Debug, Default, clap::Args)]
pub struct ChangeArgs {
    /// field=value sets, field= clears, field:=JSON sets any JSON
    #[arg(value_name = "FIELD=VALUE")]
    fields: Vec<String>,
    /// Add a label
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,
    /// Remove a label
    #[arg(long = "no-label", value_name = "LABEL")]
    no_labels: Vec<String>,
    /// Depend on a bead; the type is `blocks` unless given
    #[arg(long = "dep", value_name = "ID[=TYPE]")]
    deps: Vec<String>,
    /// Depend on a bead no longer
    #[arg(long = "no-dep", value_name = "ID")]
    no_deps: Vec<String>,
    /// Add a comment
    #[arg(long = "comment", value_name = "TEXT")]
    comments: Vec<String>,
}

impl ChangeArgs {
    /// The change that the flags describe.
    ///
    /// # Errors
    /// `bad_input` when a field has not the form `field=value`, or a value does not fit its field.
    pub fn into_change(self) -> Result<BeadChange, CliError> {
        let mut change = BeadChange {
            add_labels: self.labels,
            remove_labels: self.no_labels,
            remove_deps: self.no_deps,
            comments: self.comments,
            ..BeadChange::default()
        };
        for text in &self.fields {
            let (name, value) = field(text)?;
            change.fields.insert(name, value);
        }
        for dep in self.deps {
            let (target, kind) = dep.split_once('=').unwrap_or((&dep, "blocks"));
            change.add_deps.push((target.to_owned(), kind.to_owned()));
        }
        Ok(change)
    }
}

impl ChangeArgs {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        let lists = [&self.fields, &self.labels, &self.no_labels, &self.deps, &self.no_deps, &self.comments];
        lists.iter().all(|list| list.is_empty())
    }
}

fn field(text: &str) -> Result<(String, Value), CliError> {
    let bad = |what: &str| {
        let short: String = text.chars().take(60).collect();
        CliError::new("bad_input", format!("{short:?}: {what}"))
            .hint("status=open  priority=1  assignee=  metadata:='{}'")
    };
    let (name, value) = text.split_once('=').ok_or_else(|| bad("expected field=value"))?;
    let (name, json) = match name.strip_suffix(':') {
        Some(name) => (name, true),
        None => (name, false),
    };
    if name.is_empty() {
        return Err(bad("expected field=value"));
    }
    if json {
        return beads::parse_json(value).map(|v| (name.to_owned(), v)).map_err(|err| bad(&err.to_string()));
    }
    if value.is_empty() {
        return Ok((name.to_owned(), Value::Null));
    }
    let value = match beads::field(name).map(|f| f.kind) {
        Some(Kind::Int) => {
            let digits = if name == "priority" { value.trim_start_matches(['P', 'p']) } else { value };
            digits.parse::<i64>().map(Value::from).map_err(|_| bad("expected a whole number"))?
        }
        Some(Kind::Bool) => value.parse::<bool>().map(Value::from).map_err(|_| bad("expected true or false"))?,
        Some(Kind::Json | Kind::Set) => beads::parse_json(value).map_err(|err| bad(&err.to_string()))?,
        Some(Kind::Text | Kind::Time) | None => Value::from(value),
    };
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_get_their_fields_type() {
        assert_eq!(field("title=3=4").unwrap(), ("title".to_owned(), json!("3=4")));
        assert_eq!(field("priority=P1").unwrap(), ("priority".to_owned(), json!(1)));
        assert_eq!(field("assignee=").unwrap(), ("assignee".to_owned(), Value::Null));
        assert_eq!(field("own:=[1]").unwrap(), ("own".to_owned(), json!([1])));
    }

    #[test]
    fn nonsense_is_typed() {
        for text in ["title", "=x", ":=x", "priority=high", "own:={", ""] {
            assert_eq!(field(text).unwrap_err().code, "bad_input", "{text}");
        }
    }
}
