"""What the tower keeps. `base` is the interface; beside it what is behind it here: SQLite and DuckDB."""
