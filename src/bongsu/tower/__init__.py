"""The control tower: takes what the nodes tell, keeps it, and knows who they are."""
