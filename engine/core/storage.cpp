#include "engine/core/storage.h"

#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <vector>

#include "engine/core/error.h"

namespace hinge {
namespace {

constexpr std::size_t kAlignment = 64;  // a cache line, and what AVX-512 loads like

// Next size class: multiples of 64 bytes up to 4 KiB, of 4 KiB up to 1 MiB, of 64 KiB above.
std::size_t round_up(std::size_t bytes) {
  const std::size_t step = bytes <= 4096 ? kAlignment : bytes <= (1u << 20) ? 4096
                                                                            : 65536;
  return bytes == 0 ? kAlignment : (bytes + step - 1) / step * step;
}

class CpuCache {
 public:
  std::byte* take(std::size_t rounded) {
    std::lock_guard lock(mutex_);
    std::byte* block = nullptr;
    if (auto found = free_.find(rounded); found != free_.end() && !found->second.empty()) {
      block = found->second.back();
      found->second.pop_back();
      use_.cached -= rounded;
    } else {
      block = static_cast<std::byte*>(std::aligned_alloc(kAlignment, rounded));
      if (block == nullptr && use_.cached > 0) {
        release_locked();
        block = static_cast<std::byte*>(std::aligned_alloc(kAlignment, rounded));
      }
      require(block != nullptr, "cpu: out of memory: asked for {} MiB with {} MiB in use",
              rounded >> 20, use_.used >> 20);
    }
    use_.used += rounded;
    if (use_.used > use_.peak) use_.peak = use_.used;
    return block;
  }

  void give(std::byte* block, std::size_t rounded) noexcept {
    std::lock_guard lock(mutex_);
    use_.used -= rounded;
    try {
      free_[rounded].push_back(block);
      use_.cached += rounded;
    } catch (const std::bad_alloc&) {
      std::free(block);
    }
  }

  MemoryUse use() {
    std::lock_guard lock(mutex_);
    return use_;
  }
  void reset_peak() {
    std::lock_guard lock(mutex_);
    use_.peak = use_.used;
  }
  void release() {
    std::lock_guard lock(mutex_);
    release_locked();
  }
  ~CpuCache() { release_locked(); }

 private:
  void release_locked() {
    for (auto& [size, blocks] : free_) {
      for (std::byte* block : blocks) std::free(block);
    }
    free_.clear();
    use_.cached = 0;
  }

  std::mutex mutex_;
  std::map<std::size_t, std::vector<std::byte*>> free_;
  MemoryUse use_;
};

CpuCache& cpu_cache() {
  // Never destroyed: tensors with static lifetime may outlive any order of destruction.
  static CpuCache* cache = new CpuCache;
  return *cache;
}

void require_cpu(Device device) {
  require(device.kind == Device::Kind::kCpu, "no memory on {}: this build has the CPU only",
          device.to_string());
}

}  // namespace

Storage::Storage(std::size_t bytes, Device device)
    : bytes_(bytes), rounded_(round_up(bytes)), device_(device) {
  require_cpu(device);
  data_ = cpu_cache().take(rounded_);
}

Storage::~Storage() { cpu_cache().give(data_, rounded_); }

MemoryUse memory_use(Device device) {
  require_cpu(device);
  return cpu_cache().use();
}

void reset_peak_memory(Device device) {
  require_cpu(device);
  cpu_cache().reset_peak();
}

void release_cached_memory(Device device) {
  require_cpu(device);
  cpu_cache().release();
}

}  // namespace hinge
