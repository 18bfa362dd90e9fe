//! The JSON Schemas of the files, for editors. Generated from the very types that read the files.

use super::route_file::RoutesFile;
use super::{BottleFile, Settings};
use schemars::{Schema, schema_for};
use serde_json::Value;

/// A generated schema.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SchemaFile {
    /// The file's name in `schema/json/`.
    pub name: &'static str,
    /// The file's text.
    pub text: String,
}

/// Every schema.
pub fn schemas() -> Vec<SchemaFile> {
    vec![
        file("routes.schema.json", &schema_for!(RoutesFile)),
        file("settings.schema.json", &without_weights(schema_for!(Settings))),
        file("bottle.schema.json", &schema_for!(BottleFile)),
    ]
}

/// A weight is kept in thousandths and written as a plain number, so its generated default is not what is written.
fn without_weights(mut schema: Schema) -> Schema {
    let mut remove = |pointer: &str| {
        if let Some(object) = schema.pointer_mut(pointer).and_then(Value::as_object_mut) {
            object.remove("default");
        }
    };
    remove("/properties/weights");
    for kind in ["cache_read", "cache_write", "input", "output"] {
        remove(&format!("/$defs/Weights/properties/{kind}"));
    }
    schema
}

fn file(name: &'static str, schema: &Schema) -> SchemaFile {
    SchemaFile { name, text: format!("{:#}\n", schema.as_value()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_schemas_in_the_repository_are_current() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("json");
        for file in schemas() {
            let path = folder.join(file.name);
            if std::env::var_os("UPDATE").is_some() {
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(&path, &file.text).unwrap();
            }
            let current = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                current == file.text,
                "{} is stale; run the tests of hudson-schema with UPDATE=1",
                path.display()
            );
        }
    }
}
