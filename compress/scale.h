// Keeping the scale of matrices where a BatchNorm makes it meaningless.
//
// Behind a BatchNorm the loss does not resist a shrinking scale of the whole filter bank, but gradients grow as 1/|A|:
// the effective learning rate of a search would grow a hundredfold (decision record 6).
#pragma once

#include <map>

#include "compress/budget.h"

namespace hinge::compress {

double frobenius_norm(const Tensor& tensor);

// The convolutions with penalised weights whose outputs are read by BatchNorms alone, through operations that a positive
// factor passes unchanged (concatenation, pooling), with their Frobenius norms now. Others aren't in the list.
class ScaleKeeper {
 public:
  ScaleKeeper(const Structure& structure, const Network& network);

  // Multiplies each of these filter banks (and its bias) so that its norm is the one from the start again, and the
  // BatchNorms' running statistics with it: the function stays as it is up to BatchNorm's epsilon.
  void restore(Network& network) const;

  const std::map<std::string, double>& norms() const { return norms_; }
  void set_norms(const std::map<std::string, double>& norms) { norms_ = norms; }

 private:
  struct Reader {
    std::string norm;            // the BatchNorm
    std::int64_t offset, count;  // which of its channels
  };
  std::map<std::string, std::vector<Reader>> readers_;  // by convolution
  std::map<std::string, double> norms_;
};

}  // namespace hinge::compress
