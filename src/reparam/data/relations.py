"""What the columns of a table have to do with each other: functions, formulas and orders."""

from collections.abc import Mapping

from reparam.data.dependencies import with_dependencies
from reparam.data.formulas import with_formulas
from reparam.data.infer import Override
from reparam.data.orders import with_orders
from reparam.data.tables import Table
from reparam.schema import Schema


def with_relations(
    schema: Schema, table: Table, overrides: Mapping[str, Override] | None = None
) -> Schema:
    """Return a schema with the relations of its columns.

    Columns that follow from others are no part of x: see ``dependencies`` for functions of classes,
    and ``formulas`` for sums and products. ``orders`` are those of quantities.

    Arguments:
        schema: The schema of the table, with all of its classes.
        table: The table.
        overrides: What the user says of columns; a column whose kind is given stays a part of x.
    """
    found = with_dependencies(schema, table, overrides)
    return with_orders(with_formulas(found, table, overrides), table)
