"""The schema of a table: what each column is, and how its values become numbers and return."""

from reparam.schema.column import CLASSES as CLASSES
from reparam.schema.column import DATE_UNITS as DATE_UNITS
from reparam.schema.column import N_WAVES as N_WAVES
from reparam.schema.column import QUANTITIES as QUANTITIES
from reparam.schema.column import Column as Column
from reparam.schema.column import Kind as Kind
from reparam.schema.column import Stored as Stored
from reparam.schema.column import Value as Value
from reparam.schema.column import missing_in as missing_in
from reparam.schema.computed import ComputedColumns as ComputedColumns
from reparam.schema.schema import Schema as Schema
