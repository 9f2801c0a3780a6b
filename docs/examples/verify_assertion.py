"""Who asks, proven: verifies the assertions that Keygate sends with each request.

    pip install 'PyJWT[crypto]'
    python verify_assertion.py JWKS_URL ISSUER AUDIENCE < TOKENS

Copy `Verifier` into your API. Run as a program, it says of each line what is in the token, or why it is refused.
"""

import json
import sys

import jwt


class Verifier:
    """What an API needs to know: where the public keys are, who signs, and what the API itself is called."""

    def __init__(self, jwks_url, issuer, audience):
        # Keeps the keys for five minutes, and asks again when a token names another key.
        self.keys = jwt.PyJWKClient(jwks_url, lifespan=300)
        self.issuer = issuer
        self.audience = audience

    def who_asks(self, assertion):
        """The claims of the `X-Auth-Assertion` of a request; raises jwt.PyJWTError where there is nothing to believe."""
        key = self.keys.get_signing_key_from_jwt(assertion)
        return jwt.decode(
            assertion,
            key,
            # Never the algorithm that the token names: it may name none.
            algorithms=["EdDSA", "ES256"],
            issuer=self.issuer,
            audience=self.audience,
            # Clocks differ by a little.
            leeway=5,
            options={"require": ["iss", "aud", "sub", "iat", "exp", "key_id"]},
        )


def main():
    verifier = Verifier(*sys.argv[1:])
    for line in sys.stdin:
        try:
            print(json.dumps(verifier.who_asks(line.strip()), sort_keys=True))
        except jwt.PyJWTError as refused:
            print(f"refused: {type(refused).__name__}")


if __name__ == "__main__":
    main()
