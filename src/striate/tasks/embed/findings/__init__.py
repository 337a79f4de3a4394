"""How well embeddings tell identities apart that the network never saw: functions that return one Finding each."""
