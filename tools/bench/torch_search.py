"""The step of a search in PyTorch, arranged as the paper describes it (Li et al., CVPR 2020, sections 3 and 4): matrices A
attached as 1x1 convolutions, SGD with a rate per block, and the proximal step as a loop over layers, or with torch._foreach.

    trainer = SearchTrainer(torch, network, both=False, rate=1e-3, foreach=False)
    loss = trainer.step(images, labels)
"""
LOOK_EVERY = 20  # steps between looks at norms and FLOPs, as hinge's
LAMBDA = 1e-9    # so little that no group vanishes while it is timed
SMOOTHING, STEEPNESS, BOUND = 0.9, 1.35, 9 / 5


def attach(torch, network):
    """Every convolution but the first becomes a thin convolution and a 1x1 convolution by its SVD, in place; the 1x1 ones, in order."""
    nn, attached, first = torch.nn, [], True
    for module in list(network.modules()):
        for name, conv in list(module.named_children()):
            if not isinstance(conv, nn.Conv2d):
                continue
            if first:
                first = False
                continue
            filters = conv.out_channels
            u, s, v = torch.linalg.svd(conv.weight.detach().double().reshape(filters, -1).T, full_matrices=False)
            rank = s.numel()
            thin = nn.Conv2d(conv.in_channels, rank, conv.kernel_size, conv.stride, conv.padding, bias=False)
            point = nn.Conv2d(rank, filters, 1, bias=conv.bias is not None)
            with torch.no_grad():
                thin.weight.copy_(u.T.reshape(thin.weight.shape))
                point.weight.copy_((s[:, None] * v).T.reshape(point.weight.shape))
                if conv.bias is not None:
                    point.bias.copy_(conv.bias)
            setattr(module, name, nn.Sequential(thin, point))
            attached.append(point)
    return attached


class SearchTrainer:
    """`both`: columns of A are penalised too, behind its rows (VGG). Blocks of two matrices are neighbours in `attached`."""

    def __init__(self, torch, network, attached, both, rate, foreach):
        self.torch, self.network, self.attached, self.both, self.rate, self.foreach = torch, network, attached, both, rate, foreach
        self.matrices = [point.weight for point in attached]
        self.blocks = [] if both else list(zip(self.matrices[0::2], self.matrices[1::2]))
        mine = {id(w) for w in self.matrices}
        others = [p for p in network.parameters() if id(p) not in mine]
        groups = [{"params": others, "lr": 0.1 * rate}]
        if self.blocks:
            groups.append({"params": [b for _, b in self.blocks]})
            self.first = [{"params": [a]} for a, _ in self.blocks]
            groups += self.first
        else:
            groups.append({"params": self.matrices})
        self.optimizer = torch.optim.SGD(groups, lr=rate, momentum=0.9, weight_decay=1e-4)
        if self.blocks:
            self.first = self.optimizer.param_groups[2:]
        self.ratios = [1.0] * len(self.blocks)
        with torch.no_grad():
            self.gammas = [float(self.rows(w).norm(dim=0).mean()) for w in self.matrices]
        self.steps = 0

    @staticmethod
    def rows(w):
        return w.view(w.shape[0], w.shape[1])  # [K, rank]: a row of A is a column here

    def balance(self):
        for i, (a, b) in enumerate(self.blocks):
            new = float(self.rows(a.grad).norm(dim=0).sum()) / float(self.rows(b.grad).norm(dim=0).sum())
            self.ratios[i] = min(max((1 - SMOOTHING) * self.ratios[i] + SMOOTHING * new, 1 / BOUND), BOUND)
            self.first[i]["lr"] = self.rate / self.ratios[i] ** STEEPNESS

    def shrink(self, dim):
        torch = self.torch
        steps = [self.rate * LAMBDA * gamma for gamma in self.gammas]
        matrices = [self.rows(w) for w in self.matrices]
        if not self.foreach:
            for m, step in zip(matrices, steps):
                m.mul_((1 - step / (m.norm(dim=dim, keepdim=True) + 1e-8)).clamp_min(0))
            return
        shares = torch._foreach_sqrt([s.sum(dim, keepdim=True) for s in torch._foreach_mul(matrices, matrices)])
        torch._foreach_add_(shares, 1e-8)
        shares = torch._foreach_div([torch.tensor(-step) for step in steps], shares)
        torch._foreach_add_(shares, 1)
        torch._foreach_mul_(matrices, [s.clamp_min(0) for s in shares])

    def look(self):
        norms = [self.rows(w).norm(dim=0) / gamma for w, gamma in zip(self.matrices, self.gammas)]
        threshold = self.torch.cat(norms).sort().values[0]
        return sum(int((n > threshold).sum()) for n in norms)

    def step(self, images, labels):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.torch.nn.functional.cross_entropy(self.network(images), labels)
        loss.backward()
        with self.torch.no_grad():
            self.balance()
            self.optimizer.step()
            self.shrink(0)
            if self.both:
                self.shrink(1)
            self.steps += 1
            if self.steps % LOOK_EVERY == 0:
                self.look()
        return loss
