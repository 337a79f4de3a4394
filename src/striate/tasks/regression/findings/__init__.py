"""How good numbers are, on images the network never saw: functions that return one Finding each."""
