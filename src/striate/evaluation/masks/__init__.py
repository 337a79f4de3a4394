"""How good a labelling of pixels is: functions that return one Finding each."""
