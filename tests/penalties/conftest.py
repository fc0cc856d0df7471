"""Every penalty with its definition."""

import pytest
from penalty_oracles import DEFINITIONS


@pytest.fixture(params=DEFINITIONS)
def definition(request):
    return DEFINITIONS[request.param]
