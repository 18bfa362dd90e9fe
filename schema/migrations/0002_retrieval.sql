-- Work that is read by its provider's id is charged only where its creation was not.

CREATE INDEX usage_by_response ON usage (host, response_id) WHERE response_id IS NOT NULL;
