"""The properties of the random resource types, as in terraform-provider-random 3.8 (passwords: schema version 3)."""

from __future__ import annotations

from typing import Final

from sandbox.plugins.values_schema import Property, ResourceSchema

ID: Final = "random:index/randomId:RandomId"
BYTES: Final = "random:index/randomBytes:RandomBytes"
STRING: Final = "random:index/randomString:RandomString"
PASSWORD: Final = "random:index/randomPassword:RandomPassword"

KEEPERS: Final = Property("string map")
CHARACTERS: Final = {
    "keepers": KEEPERS,
    "length": Property("integer", required=True, at_least=1),
    "lower": Property("boolean", default=True),
    "upper": Property("boolean", default=True),
    # `number` is the older name of `numeric`; both are outputs, and always equal.
    "number": Property("boolean", default=True),
    "numeric": Property("boolean", default=True),
    "special": Property("boolean", default=True),
    "minLower": Property("integer", default=0, at_least=0),
    "minUpper": Property("integer", default=0, at_least=0),
    "minNumeric": Property("integer", default=0, at_least=0),
    "minSpecial": Property("integer", default=0, at_least=0),
    "overrideSpecial": Property("string"),
}

SCHEMAS: Final = {
    schema.type: schema
    for schema in (
        ResourceSchema(
            ID,
            {
                "keepers": KEEPERS,
                "byteLength": Property("integer", required=True, at_least=1),
                "prefix": Property("string"),
            },
            {"b64Std": False, "b64Url": False, "dec": False, "hex": False},
        ),
        ResourceSchema(
            BYTES,
            {"keepers": KEEPERS, "length": Property("integer", required=True, at_least=1)},
            {"base64": True, "hex": True},
            identified=False,
        ),
        ResourceSchema(STRING, CHARACTERS, {"result": False}),
        ResourceSchema(PASSWORD, CHARACTERS, {"result": True, "bcryptHash": True}),
    )
}
