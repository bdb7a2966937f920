"""Importers of other formats, one file each: each offers `IMPORTER`."""
