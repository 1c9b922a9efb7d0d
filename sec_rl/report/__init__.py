"""What a person looks at after a run: one HTML page per run, one per comparison, and the model's card."""
