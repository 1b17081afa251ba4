"""What users and attackers met: each case beside the test that shows it mended."""
