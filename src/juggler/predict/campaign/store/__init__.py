"""A campaign's database: samples and measurements in one SQLite file."""
