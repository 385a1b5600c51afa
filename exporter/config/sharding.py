"""
Which shard serves an account.

Whole accounts are given out, so that an organization's sums and its request budget stay in one process.
"""

import hashlib


def shard_of(account: str, count: int) -> int:
    """
    Choose the shard, 0 to `count` - 1, that serves an account.

    The shard with the highest hash of (account, shard) has it (rendezvous hashing, Thaler and Ravishankar 1998):
    one more shard takes about 1/`count` of the accounts, evenly from all others, and no other account moves.
    The hash is a part of the public contract: replicas of different releases must agree on it.
    """
    # A name may hold what no UTF-8 can say, and still belongs to exactly one shard.
    name = account.encode("utf-8", "surrogatepass")
    return max(range(count), key=lambda shard: _weight(name, shard))


def _weight(name: bytes, shard: int) -> bytes:
    # The shard comes first, at a fixed length, so that no name can run into it.
    return hashlib.blake2b(shard.to_bytes(4, "big") + name, digest_size=8).digest()
