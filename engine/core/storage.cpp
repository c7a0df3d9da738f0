#include "engine/core/storage.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <vector>

#include "engine/core/accelerator.h"
#include "engine/core/block_cache.h"
#include "engine/core/error.h"
#include "engine/core/fault.h"
#include "kernels/simt/poison.h"

namespace hinge {
namespace {

constexpr std::size_t kAlignment = 64;  // a cache line, and what AVX-512 loads like

// Next size class: multiples of 64 bytes up to 4 KiB, of 4 KiB up to 1 MiB, of 64 KiB above.
std::size_t round_up(std::size_t bytes) {
  const std::size_t step = bytes <= 4096 ? kAlignment : bytes <= (1u << 20) ? 4096
                                                                            : 65536;
  return bytes == 0 ? kAlignment : (bytes + step - 1) / step * step;
}

// Under AddressSanitizer a block is its owner's alone, and not beyond what was asked for; what nobody has written is NaN.
class CpuCache {
 public:
  std::byte* take(std::size_t bytes, std::size_t rounded) {
    std::byte* block = take_block(rounded);
    if constexpr (simt::kAddressSanitizer) {
      simt::unpoison(block, bytes);
      std::memset(block, 0xff, bytes);
      simt::poison(block + bytes, rounded - bytes);
    }
    return block;
  }

  void give(std::byte* block, std::size_t rounded) noexcept {
    simt::poison(block, rounded);
    std::lock_guard lock(mutex_);
    use_.used -= rounded;
    try {
      free_[rounded].push_back(block);
      use_.cached += rounded;
    } catch (const std::bad_alloc&) {
      simt::unpoison(block, rounded);
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
  std::byte* take_block(std::size_t rounded) {
    std::lock_guard lock(mutex_);
    std::byte* block = nullptr;
    if (auto found = free_.find(rounded); found != free_.end() && !found->second.empty()) {
      block = found->second.back();
      found->second.pop_back();
      use_.cached -= rounded;
    } else {
      block = allocate(rounded);
      if (block == nullptr && use_.cached > 0) {
        release_locked();
        block = allocate(rounded);
      }
      require(block != nullptr, "cpu: out of memory: asked for {} bytes with {} MiB in use; a smaller batch needs less",
              rounded, use_.used >> 20);
    }
    use_.used += rounded;
    if (use_.used > use_.peak) use_.peak = use_.used;
    return block;
  }

  // nullptr where the system has no more.
  static std::byte* allocate(std::size_t bytes) {
    return error_in(Call::kAllocate) != 0 ? nullptr : static_cast<std::byte*>(std::aligned_alloc(kAlignment, bytes));
  }
  void release_locked() {
    for (auto& [size, blocks] : free_) {
      for (std::byte* block : blocks) {
        simt::unpoison(block, size);
        std::free(block);
      }
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

// The cache of one GPU. Locked: tensors may go on any thread.
class DeviceCache final : SegmentSource {
 public:
  explicit DeviceCache(Device device) : device_(device), cache_(*this) {}

  template <class Call>
  auto locked(const Call& call) {
    std::lock_guard lock(mutex_);
    return call(cache_);
  }

  std::string name() const override { return device_.to_string(); }
  std::byte* take(std::size_t bytes) override {
    return error_in(Call::kDeviceAllocate) != 0 ? nullptr : static_cast<std::byte*>(own().allocate(bytes, device_.index));
  }
  void give(std::byte* segment) noexcept override { accelerator()->release(segment, device_.index); }
  DeviceMemory memory() const override { return own().memory(device_.index); }
  void handed_out(std::byte* block, std::size_t bytes, std::size_t rounded) override { own().handed_out(block, bytes, rounded); }
  void taken_back(std::byte* block, std::size_t rounded) noexcept override { accelerator()->taken_back(block, rounded); }

 private:
  Accelerator& own() const { return require_accelerator(device_); }

  Device device_;
  std::mutex mutex_;
  BlockCache cache_;
};

DeviceCache& device_cache(Device device) {
  static std::mutex mutex;
  static auto* caches = new std::map<int, std::unique_ptr<DeviceCache>>;  // never destroyed, as the CPU's
  std::lock_guard lock(mutex);
  std::unique_ptr<DeviceCache>& cache = (*caches)[device.index];
  if (!cache) {
    require_accelerator(device);
    cache = std::make_unique<DeviceCache>(device);
  }
  return *cache;
}

int set_current_pool(Device device, int pool) {
  return device_cache(device).locked([&](BlockCache& cache) { return cache.set_current(pool); });
}

}  // namespace

Storage::Storage(std::size_t bytes, Device device)
    : bytes_(bytes), rounded_(round_up(bytes)), device_(device) {
  data_ = device.is_cpu() ? cpu_cache().take(bytes_, rounded_) : device_cache(device).locked([&](BlockCache& cache) { return cache.take(bytes); });
}

Storage::~Storage() {
  if (device_.is_cpu()) {
    cpu_cache().give(data_, rounded_);
  } else {
    device_cache(device_).locked([&](BlockCache& cache) { cache.give(data_); });
  }
}

MemoryUse memory_use(Device device) {
  if (device.is_cpu()) return cpu_cache().use();
  return device_cache(device).locked([](BlockCache& cache) { return cache.use(); });
}

void reset_peak_memory(Device device) {
  if (device.is_cpu()) return cpu_cache().reset_peak();
  device_cache(device).locked([](BlockCache& cache) { cache.reset_peak(); });
}

void release_cached_memory(Device device) {
  if (device.is_cpu()) return cpu_cache().release();
  device_cache(device).locked([](BlockCache& cache) { cache.release_free(); });
}

MemoryPool::MemoryPool(Device device)
    : device_(device), pool_(device_cache(device).locked([](BlockCache& cache) { return cache.make_pool(); })) {}
MemoryPool::~MemoryPool() {
  device_cache(device_).locked([&](BlockCache& cache) { cache.drop_pool(pool_); });
}
MemoryPool::Scope::Scope(MemoryPool& pool) : device_(pool.device_), before_(set_current_pool(pool.device_, pool.pool_)) {}
MemoryPool::Scope::~Scope() { set_current_pool(device_, before_); }
MemoryPool::Outside::Outside(Device device) : device_(device), before_(set_current_pool(device, BlockCache::kCommon)) {}
MemoryPool::Outside::~Outside() { set_current_pool(device_, before_); }

}  // namespace hinge
