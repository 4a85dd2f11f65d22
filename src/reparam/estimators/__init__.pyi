from reparam.estimators.classifier import VAEClassifier as VAEClassifier
from reparam.estimators.cluster import VAECluster as VAECluster
from reparam.estimators.imputer import VAEImputer as VAEImputer
from reparam.estimators.outlier import VAEOutlier as VAEOutlier
from reparam.estimators.sampler import VAESampler as VAESampler
from reparam.estimators.vae import VAE as VAE
