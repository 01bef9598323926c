"""The mesh of the PoPs: every path between them measured, and the best one chosen. Pure: takes `now`."""
