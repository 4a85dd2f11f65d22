from reparam.distributions.autoregressive import Autoregressive as Autoregressive
from reparam.distributions.bernoulli import ContinuousBernoulli as ContinuousBernoulli
from reparam.distributions.bernoulli import CrossEntropy as CrossEntropy
from reparam.distributions.chain import Chain as Chain
from reparam.distributions.chain import Reordered as Reordered
from reparam.distributions.codes import CodeSequence as CodeSequence
from reparam.distributions.codes import CodeVectors as CodeVectors
from reparam.distributions.codes import OneHotCodes as OneHotCodes
from reparam.distributions.codes import QuantizedCodes as QuantizedCodes
from reparam.distributions.codes import nearest_code as nearest_code
from reparam.distributions.continuous_flow import ContinuousFlow as ContinuousFlow
from reparam.distributions.counts import NegativeBinomial as NegativeBinomial
from reparam.distributions.counts import Poisson as Poisson
from reparam.distributions.cyclic import Calendar as Calendar
from reparam.distributions.cyclic import Cyclic as Cyclic
from reparam.distributions.cyclic import Level as Level
from reparam.distributions.declared import DeclaredDistribution as DeclaredDistribution
from reparam.distributions.declared import Parametric as Parametric
from reparam.distributions.delta import Delta as Delta
from reparam.distributions.flow import Flow as Flow
from reparam.distributions.gaussians import GaussianMixture as GaussianMixture
from reparam.distributions.gaussians import OptimalNormal as OptimalNormal
from reparam.distributions.gaussians import TriangularNormal as TriangularNormal
from reparam.distributions.given_total import GivenTotal as GivenTotal
from reparam.distributions.heaped import Heaped as Heaped
from reparam.distributions.hypersphere import (
    HypersphericalUniform as HypersphericalUniform,
)
from reparam.distributions.hypersphere import Sphere as Sphere
from reparam.distributions.hypersphere import VonMisesFisher as VonMisesFisher
from reparam.distributions.hypersphere import sphere as sphere
from reparam.distributions.levels import DiscretizedLogistic as DiscretizedLogistic
from reparam.distributions.levels import (
    DiscretizedLogisticMixture as DiscretizedLogisticMixture,
)
from reparam.distributions.levels import QuantizedCategorical as QuantizedCategorical
from reparam.distributions.mixed import MixedPart as MixedPart
from reparam.distributions.mixed import MixedRow as MixedRow
from reparam.distributions.queries import base_distribution as base_distribution
from reparam.distributions.queries import detached as detached
from reparam.distributions.queries import is_normalized as is_normalized
from reparam.distributions.queries import mean_or_mode as mean_or_mode
from reparam.distributions.queries import rsample as rsample
from reparam.distributions.queries import unnormalized_because as unnormalized_because
from reparam.distributions.region import Region as Region
from reparam.distributions.rounded import ContaminatedNormal as ContaminatedNormal
from reparam.distributions.rounded import RoundedMixture as RoundedMixture
from reparam.distributions.rounded import RoundedNormal as RoundedNormal
from reparam.distributions.rounded import Standardized as Standardized
from reparam.distributions.spiked import Spiked as Spiked
