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
        """The claims of the `X-Auth-Assertion` of a request.

        Raises jwt.PyJWKClientConnectionError where the public keys cannot be had, so that nothing can be said (503 rather
        than 401), and another jwt.PyJWTError where there is nothing to believe.
        """
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


def reason(verifier, assertion, refused):
    """Why, for a log. Audience and issuer are looked at only once the signature is good."""
    why = str(refused)
    if isinstance(refused, (jwt.InvalidAudienceError, jwt.InvalidIssuerError)):
        claims = jwt.decode(assertion, options={"verify_signature": False})
        for name, wanted in [("iss", verifier.issuer), ("aud", verifier.audience)]:
            if claims.get(name) != wanted:
                why += f"; {name} is {claims.get(name)!r}, not {wanted!r}"
    return f"{type(refused).__name__}: {why}"


def main():
    verifier = Verifier(*sys.argv[1:])
    for line in sys.stdin:
        assertion = line.strip()
        try:
            print(json.dumps(verifier.who_asks(assertion), sort_keys=True))
        except jwt.PyJWKClientConnectionError as unreachable:
            print(f"not verified, as there are no public keys: {unreachable}")
        except jwt.PyJWTError as refused:
            print(f"refused: {reason(verifier, assertion, refused)}")


if __name__ == "__main__":
    main()
