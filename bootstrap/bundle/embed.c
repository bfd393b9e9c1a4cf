#include "bootstrap/bundle/internal.h"

#include "lib/base/str.h"

/* Each file becomes a symbol and its end in read-only data. */
#define EMBED(id, file)                                                                            \
	__asm__(".pushsection .rodata\n"                                                           \
		".balign 16\n"                                                                     \
		"kc_asset_" #id ":\n"                                                              \
		".incbin \"" KC_BUNDLE_DIR "/" file "\"\n"                                         \
		"kc_asset_" #id "_end:\n"                                                          \
		".byte 0\n"                                                                        \
		".popsection\n");                                                                  \
	extern const char kc_asset_##id[] __attribute__((visibility("hidden")));                   \
	extern const char kc_asset_##id##_end[] __attribute__((visibility("hidden")))

EMBED(components, "components.yaml");
EMBED(pause, "pause.c");
EMBED(cni_go_mod, "gomod/cni/go.mod");
EMBED(cni_go_sum, "gomod/cni/go.sum");
EMBED(containerd_go_mod, "gomod/containerd/go.mod");
EMBED(containerd_go_sum, "gomod/containerd/go.sum");
EMBED(coredns_go_mod, "gomod/coredns/go.mod");
EMBED(coredns_go_sum, "gomod/coredns/go.sum");
EMBED(etcd_go_mod, "gomod/etcd/go.mod");
EMBED(etcd_go_sum, "gomod/etcd/go.sum");
EMBED(etcd_main_go, "gomod/etcd/main.go");
EMBED(flannel_go_mod, "gomod/flannel/go.mod");
EMBED(flannel_go_sum, "gomod/flannel/go.sum");
EMBED(kubernetes_1_36_go_mod, "gomod/kubernetes-1.36/go.mod");
EMBED(kubernetes_1_36_go_sum, "gomod/kubernetes-1.36/go.sum");
EMBED(kubernetes_1_36_main_go, "gomod/kubernetes-1.36/main.go");
EMBED(kubernetes_1_37_go_mod, "gomod/kubernetes-1.37/go.mod");
EMBED(kubernetes_1_37_go_sum, "gomod/kubernetes-1.37/go.sum");
EMBED(kubernetes_1_37_main_go, "gomod/kubernetes-1.37/main.go");
EMBED(runc_go_mod, "gomod/runc/go.mod");
EMBED(runc_go_sum, "gomod/runc/go.sum");

const struct kc_asset kc_bundle_assets[] = {
	{ "", "components.yaml", kc_asset_components, kc_asset_components_end },
	{ "", "pause.c", kc_asset_pause, kc_asset_pause_end },
	{ "cni", "go.mod", kc_asset_cni_go_mod, kc_asset_cni_go_mod_end },
	{ "cni", "go.sum", kc_asset_cni_go_sum, kc_asset_cni_go_sum_end },
	{ "containerd", "go.mod", kc_asset_containerd_go_mod, kc_asset_containerd_go_mod_end },
	{ "containerd", "go.sum", kc_asset_containerd_go_sum, kc_asset_containerd_go_sum_end },
	{ "coredns", "go.mod", kc_asset_coredns_go_mod, kc_asset_coredns_go_mod_end },
	{ "coredns", "go.sum", kc_asset_coredns_go_sum, kc_asset_coredns_go_sum_end },
	{ "etcd", "go.mod", kc_asset_etcd_go_mod, kc_asset_etcd_go_mod_end },
	{ "etcd", "go.sum", kc_asset_etcd_go_sum, kc_asset_etcd_go_sum_end },
	{ "etcd", "main.go", kc_asset_etcd_main_go, kc_asset_etcd_main_go_end },
	{ "flannel", "go.mod", kc_asset_flannel_go_mod, kc_asset_flannel_go_mod_end },
	{ "flannel", "go.sum", kc_asset_flannel_go_sum, kc_asset_flannel_go_sum_end },
	{ "kubernetes-1.36", "go.mod", kc_asset_kubernetes_1_36_go_mod,
	  kc_asset_kubernetes_1_36_go_mod_end },
	{ "kubernetes-1.36", "go.sum", kc_asset_kubernetes_1_36_go_sum,
	  kc_asset_kubernetes_1_36_go_sum_end },
	{ "kubernetes-1.36", "main.go", kc_asset_kubernetes_1_36_main_go,
	  kc_asset_kubernetes_1_36_main_go_end },
	{ "kubernetes-1.37", "go.mod", kc_asset_kubernetes_1_37_go_mod,
	  kc_asset_kubernetes_1_37_go_mod_end },
	{ "kubernetes-1.37", "go.sum", kc_asset_kubernetes_1_37_go_sum,
	  kc_asset_kubernetes_1_37_go_sum_end },
	{ "kubernetes-1.37", "main.go", kc_asset_kubernetes_1_37_main_go,
	  kc_asset_kubernetes_1_37_main_go_end },
	{ "runc", "go.mod", kc_asset_runc_go_mod, kc_asset_runc_go_mod_end },
	{ "runc", "go.sum", kc_asset_runc_go_sum, kc_asset_runc_go_sum_end },
};
const size_t kc_bundle_n_assets = ARRAY_SIZE(kc_bundle_assets);

const struct kc_asset *kc_bundle_asset(const char *dir, const char *name)
{
	for (size_t i = 0; i < kc_bundle_n_assets; i++)
		if (streq(kc_bundle_assets[i].dir, dir) && streq(kc_bundle_assets[i].name, name))
			return &kc_bundle_assets[i];
	return NULL;
}
