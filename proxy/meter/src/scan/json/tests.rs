use super::*;
use proptest::prelude::*;
use std::sync::LazyLock;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Field {
    A,
    B,
    List,
    Item,
    Deep,
    Size,
    Bulk,
}

pub(super) static SELECTOR: LazyLock<Selector<Field>> = LazyLock::new(|| {
    Selector::new([
        ("a", Field::A, Take::Value),
        ("o.b", Field::B, Take::Value),
        ("list", Field::List, Take::Value),
        ("list.*", Field::Item, Take::Value),
        ("x.*.y", Field::Deep, Take::Value),
        ("s", Field::Size, Take::Size),
        ("bulk.in", Field::Bulk, Take::Size),
    ])
});

#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Finds(pub(super) Vec<String>);

impl JsonSink for Finds {
    type Field = Field;
    fn value(&mut self, field: Field, value: Value<'_>) {
        self.0.push(format!("{field:?}={value:?}"));
    }
    fn open(&mut self, field: Field) {
        self.0.push(format!("{field:?}("));
    }
    fn close(&mut self, field: Field) {
        self.0.push(format!("){field:?}"));
    }
    fn size(&mut self, field: Field, bytes: usize) {
        // Pieces of one value are one find, whatever the split.
        let key = format!("{field:?}#");
        match self
            .0
            .last_mut()
            .and_then(|last| last.strip_prefix(&key).map(|sum| sum.parse::<usize>().unwrap()))
        {
            Some(sum) => *self.0.last_mut().unwrap() = format!("{key}{}", sum + bytes),
            None => self.0.push(format!("{key}{bytes}")),
        }
    }
    fn document(&mut self) {
        self.0.push(".".to_owned());
    }
    fn all_documents(&mut self) {
        self.0.push("]".to_owned());
    }
}

fn scan(input: &[u8], size: usize, many: bool) -> (Vec<String>, bool) {
    let mut scanner = JsonScanner::new(&SELECTOR, many);
    let mut finds = Finds::default();
    for chunk in input.chunks(size.max(1)) {
        scanner.feed(chunk, &mut finds);
    }
    scanner.finish(&mut finds);
    (finds.0, scanner.is_broken())
}

#[test]
fn only_anchored_paths_are_found() {
    let input = r#" {"b":1,"q":{"a":2,"list":[1]},"o":{"b":"x\u0041\"","b2":0},"\u0061":3,
        "list":[1,{"a":9},[7],"s"],"x":[{"y":1.2},{"y":-4}],"s":"12\"4","bulk":{"in":{"k":[1]}}} "#;
    let expected = [
        r#"B=Text("xA\"")"#,
        "A=Number(3)",
        "List(",
        "Item=Number(1)",
        "Item(",
        ")Item",
        "Item(",
        ")Item",
        r#"Item=Text("s")"#,
        ")List",
        "Deep=Number(2)",
        "Deep=Number(0)",
        "Size#5",
        "Bulk#9",
        ".",
    ];
    for size in [1, 2, 3, 7, 1000] {
        assert_eq!(
            scan(input.as_bytes(), size, false),
            (expected.map(str::to_owned).to_vec(), false),
            "{size}"
        );
    }
}

#[test]
fn documents_in_an_array_and_in_a_row() {
    let expected = ["A=Number(1)", ".", "A=Number(2)", ".", "]"];
    assert_eq!(
        scan(b"[{\"a\":1},\r\n{\"a\":2}]", 1, true),
        (expected.iter().map(|x| (*x).to_owned()).collect(), false)
    );
    let expected = ["A=Number(1)", ".", "A=Number(2)", "."];
    assert_eq!(
        scan(b"{\"a\":1}\n{\"a\":2}\n", 1, true),
        (expected.iter().map(|x| (*x).to_owned()).collect(), false)
    );
    assert!(scan(b"{\"a\":1} {", 1, false).1, "one root value is one");
}

#[test]
fn what_is_no_json_breaks_and_stays_broken() {
    for input in [
        "[DONE]",
        "{a:1}",
        "{\"a\" 1}",
        "{\"a\":1 2}",
        "{\"a\":nul}",
        "{\"a\":+1}",
        "]",
        "{\"a\":1]",
        "x",
        "{\"a\":inf}",
    ] {
        assert!(scan(input.as_bytes(), 1, false).1, "{input}");
    }
}

#[test]
fn large_input_costs_no_memory() {
    let mut scanner = JsonScanner::new(&SELECTOR, false);
    let mut finds = Finds::default();
    scanner.feed(b"{\"a\":\"", &mut finds);
    for _ in 0..4096 {
        scanner.feed(&[b'x'; 4096], &mut finds);
        assert!(scanner.buffer.capacity() < 2 * MAX_VALUE + 64);
    }
    scanner.feed(b"\",\"z\":[", &mut finds);
    for _ in 0..1024 {
        scanner.feed(&[b'['; 4096], &mut finds);
    }
    assert!(scanner.outer.capacity() < 16);
    assert_eq!(finds.0.len(), 1);
}

pub(super) fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<u64>().prop_map(serde_json::Value::from),
        "[\\PC\\\\\"]{0,12}".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
            prop::collection::vec(("a|o|b|list|x|y|s|bulk|in|[\\PC]{0,3}", inner), 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn the_split_does_not_matter_and_the_values_are_serde_jsons(value in any_json(), size in 1usize..20, pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let whole = scan(text.as_bytes(), text.len(), false);
        prop_assert!(!whole.1);
        prop_assert_eq!(&scan(text.as_bytes(), size, false), &whole);
        if let Some(a) = value.get("a").and_then(serde_json::Value::as_u64) {
            let find = format!("A=Number({a})");
            prop_assert!(whole.0.contains(&find));
        }
        if let Some(b) = value.get("o").and_then(|o| o.get("b")).and_then(serde_json::Value::as_str) {
            let find = format!("B={:?}", Value::Text(b));
            prop_assert!(whole.0.contains(&find), "{:?} in {:?}", find, whole.0);
        }
        if !value.is_array() {
            prop_assert_eq!(whole.0.last().map(String::as_str), Some("."));
        }
    }

    #[test]
    fn noise_is_the_same_at_every_split(input in prop::collection::vec(prop::sample::select(b"{}[]\",:\\ a1x".to_vec()), 0..60), size in 1usize..9, many in any::<bool>()) {
        prop_assert_eq!(scan(&input, size, many), scan(&input, input.len(), many));
    }
}
