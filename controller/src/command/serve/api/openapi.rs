//! The OpenAPI description of the control socket, made from the table of endpoints and the types that they read.

use super::endpoints::{ENDPOINTS, Endpoint};
use schemars::Schema;
use serde_json::{Map, Value, json};

/// The description.
pub(super) fn description() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in ENDPOINTS {
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(endpoint.method.to_lowercase(), operation(endpoint));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Hudson's control socket",
            "version": "1",
            "description": "HTTP/1.1 on run/hudson.sock in Hudson's home, for processes of the operator that are in no \
                            bottle. Answers are what the command of the same name prints with --json.",
        },
        "servers": [{"url": "http://hudson", "description": "any host: the socket decides"}],
        "paths": paths,
        "components": {"schemas": {"Error": {
            "type": "object",
            "required": ["error"],
            "properties": {"error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "code": {"type": "string", "description": "stable: invalid, not_found, conflict, failed, …"},
                    "message": {"type": "string", "description": "for people"},
                },
            }},
        }}},
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let mut operation = json!({
        "summary": endpoint.summary,
        "responses": {
            "200": {"description": "done", "content": {endpoint.kind: {}}},
            "default": {
                "description": "refused or failed",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        },
    });
    let Some(members) = operation.as_object_mut() else { return operation };
    let mut parameters = Vec::new();
    if let Some((_, rest)) = endpoint.path.split_once('{') {
        let name = rest.split('}').next().unwrap_or_default();
        parameters.push(json!({"in": "path", "name": name, "required": true, "schema": {"type": "string"}}));
    }
    if let Some(query) = endpoint.query {
        parameters.extend(query_parameters(&query()));
    }
    if !parameters.is_empty() {
        members.insert("parameters".to_owned(), Value::Array(parameters));
    }
    if let Some(body) = endpoint.body {
        let content = json!({"application/json": {"schema": inline(body())}});
        members.insert("requestBody".to_owned(), json!({"content": content}));
    }
    operation
}

fn query_parameters(schema: &Schema) -> Vec<Value> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let parameter = |(name, schema): (&String, &Value)| json!({"in": "query", "name": name, "description": schema.get("description"), "schema": schema});
    properties.into_iter().flatten().map(parameter).collect()
}

/// A schema as it stands in a body: references into itself are of the body's schema, which OpenAPI 3.1 allows where it has
/// an identifier of its own.
fn inline(mut schema: Schema) -> Value {
    let name = schema.get("title").and_then(Value::as_str).unwrap_or_default().to_lowercase();
    if schema.get("$defs").is_some() {
        schema.insert("$id".to_owned(), Value::from(format!("http://hudson/schema/{name}")));
    }
    schema.to_value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_description_in_the_repository_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema/json/control.openapi.json");
        let text = format!("{:#}\n", description());
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let current = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            current == text,
            "{} is stale; run the tests of hudson-controller with UPDATE=1",
            path.display()
        );
    }
}
