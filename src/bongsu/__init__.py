"""bongsu: one YAML file to a WAN that somebody owns."""
