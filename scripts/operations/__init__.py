"""What a person does to a running deployment: seed, status, retrain, rollback, promote, quarantine, erase; on AWS and locally alike."""
