"""tplb-bench: which architecture serves better, alone and behind a balancer, and how large should the pool be?"""
