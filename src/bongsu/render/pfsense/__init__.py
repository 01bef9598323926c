"""pfSense: the parts of config.xml that can be pasted, and the click path for the rest."""
