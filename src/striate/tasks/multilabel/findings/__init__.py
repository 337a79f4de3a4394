"""How good tags are, on images the network never saw: functions that return one Finding each."""
