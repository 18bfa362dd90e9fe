-- Who alone may decide an approval, where its rule names them; nobody is named for most.
CREATE TABLE approval_deciders (
    approval_id TEXT NOT NULL,
    actor       TEXT NOT NULL,
    PRIMARY KEY (approval_id, actor)
) STRICT, WITHOUT ROWID;
