from reparam.distributions.autoregressive import Autoregressive as Autoregressive
from reparam.distributions.chain import Chain as Chain
from reparam.distributions.continuous_bernoulli import ContinuousBernoulli as ContinuousBernoulli
from reparam.distributions.cross_entropy import CrossEntropy as CrossEntropy
from reparam.distributions.declared import DeclaredDistribution as DeclaredDistribution
from reparam.distributions.declared import Elementwise as Elementwise
from reparam.distributions.delta import Delta as Delta
from reparam.distributions.discretized_logistic_mixture import (
    DiscretizedLogisticMixture as DiscretizedLogisticMixture,
)
from reparam.distributions.flow import Flow as Flow
from reparam.distributions.gaussian_mixture import GaussianMixture as GaussianMixture
from reparam.distributions.hyperspherical_uniform import (
    HypersphericalUniform as HypersphericalUniform,
)
from reparam.distributions.hyperspherical_uniform import Sphere as Sphere
from reparam.distributions.hyperspherical_uniform import sphere as sphere
from reparam.distributions.negative_binomial import NegativeBinomial as NegativeBinomial
from reparam.distributions.one_hot_codes import OneHotCodes as OneHotCodes
from reparam.distributions.optimal_normal import OptimalNormal as OptimalNormal
from reparam.distributions.poisson import Poisson as Poisson
from reparam.distributions.quantized_categorical import QuantizedCategorical as QuantizedCategorical
from reparam.distributions.quantized_codes import CodeSequence as CodeSequence
from reparam.distributions.quantized_codes import CodeVectors as CodeVectors
from reparam.distributions.quantized_codes import QuantizedCodes as QuantizedCodes
from reparam.distributions.quantized_codes import nearest_code as nearest_code
from reparam.distributions.queries import base_distribution as base_distribution
from reparam.distributions.queries import detached as detached
from reparam.distributions.queries import is_normalized as is_normalized
from reparam.distributions.queries import mean_or_mode as mean_or_mode
from reparam.distributions.queries import rsample as rsample
from reparam.distributions.reordered import Reordered as Reordered
from reparam.distributions.triangular_normal import TriangularNormal as TriangularNormal
from reparam.distributions.von_mises_fisher import VonMisesFisher as VonMisesFisher
