from reparam.estimators.vae import VAE as VAE
