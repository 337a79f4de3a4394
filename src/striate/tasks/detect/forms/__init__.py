"""How detectors of each kind are trained and read: a file a kind; `table.form_of` chooses by what the network gives."""
