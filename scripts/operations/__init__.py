"""What a person does to a running deployment: seed, status, retrain, rollback, promote; on AWS and locally alike."""
