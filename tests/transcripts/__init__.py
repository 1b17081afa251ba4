"""Two runs with a strong language model, proposal by proposal, judged by the rules of today."""
