"""What the latents hold: which are used, what they tell, and how they lie."""
