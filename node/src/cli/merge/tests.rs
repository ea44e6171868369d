use super::*;

fn line(id: &str, title: &str, minute: u32) -> String {
    format!(
        r#"{{"id":"{id}","title":"{title}","status":"open","priority":2,"created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:{minute:02}:00Z"}}"#
    )
}

struct Files(tempfile::TempDir);

impl Files {
    fn new(base: &[String], ours: &[String], theirs: &[String]) -> Files {
        let dir = tempfile::tempdir().unwrap();
        for (name, lines) in [("base", base), ("ours", ours), ("theirs", theirs)] {
            let text: String = lines.iter().map(|l| format!("{l}\n")).collect();
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        Files(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn merge(&self) -> Result<Outcome, CliError> {
        merge_files(&self.path("base"), &self.path("ours"), &self.path("theirs"))
    }
}

#[test]
fn untouched_lines_stay_byte_for_byte_and_new_ones_sort_in() {
    let odd = r#"{"title":"odd order","id":"a-2","unknown":1.0,"updated_at":"2026-01-01T00:00:00Z"}"#.to_owned();
    let memory = r#"{"_type":"memory","key":"k","value":"v"}"#.to_owned();
    let base = [line("a-1", "one", 1), odd.clone()];
    let ours = [line("a-1", "one", 1), odd.clone(), line("a-9", "nine", 2)];
    let theirs = [line("a-1", "uno", 3), odd.clone(), line("a-5", "five", 2), memory.clone()];
    let outcome = Files::new(&base, &ours, &theirs).merge().unwrap();
    assert!(outcome.merged.conflicts.is_empty());
    let text = String::from_utf8(outcome.text).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines, [&line("a-1", "uno", 3), &odd, &line("a-5", "five", 2), &line("a-9", "nine", 2), &memory]);
}

#[test]
fn both_values_of_a_conflict_are_kept_beside_the_result() {
    let files = Files::new(&[line("a-1", "x", 1)], &[line("a-1", "ours", 2)], &[line("a-1", "theirs", 3)]);
    let args = Args {
        base: Some(files.path("base")),
        ours: Some(files.path("ours")),
        theirs: Some(files.path("theirs")),
        out: Some(files.path("out")),
        replay: None,
        file: String::new(),
        limit: 0,
    };
    assert_eq!(run(&Output::new(true), args).unwrap(), Exit::No);
    let merged = std::fs::read_to_string(files.path("out")).unwrap();
    assert!(merged.contains("theirs") && !merged.contains("\"ours\""), "the later one is shown: {merged}");
    let sidecar: Value = serde_json::from_slice(&std::fs::read(files.path("out.conflicts.json")).unwrap()).unwrap();
    assert_eq!(sidecar["conflicts"][0]["values"], json!(["theirs", "ours"]));
}

#[test]
fn bad_input_names_its_lines_and_writes_nothing() {
    let repeated = [line("a-1", "x", 1), line("a-1", "y", 1)];
    let files = Files::new(&[line("a-1", "x", 1)], &["<<<<<<< HEAD".to_owned(), "{".to_owned()], &repeated);
    let err = files.merge().err().unwrap();
    assert_eq!((err.code.as_str(), err.exit()), ("bad_input", Exit::Input));
    assert_eq!(err.hints.len(), 3, "{:?}", err.hints);
    assert!(err.hints.iter().any(|h| h.contains("theirs:2") && h.contains("line 1 already")), "{:?}", err.hints);
    assert!(Version::read(&files.path("nothing")).is_err());
}

#[test]
fn an_equal_repeat_is_tolerated() {
    let twice = [line("a-1", "x", 1), line("a-1", "x", 1)];
    let outcome = Files::new(&twice, &twice, &twice).merge().unwrap();
    assert_eq!(String::from_utf8(outcome.text).unwrap().lines().count(), 1);
}
