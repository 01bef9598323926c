"""`bongsu mtr` and `bongsu compare`: paths measured, kept, shown and set side by side."""
