/* The manifests as they stand in the folders beside, between NAME and NAME_end. */
	.section .rodata
	.macro manifest name, file
	.global \name
	.global \name\()_end
	.balign 16
\name:
	.incbin "\file"
\name\()_end:
	.byte 0
	.endm

	manifest kc_manifest_rbac, "addons/rbac/rbac.yaml"
	manifest kc_manifest_coredns, "addons/coredns/coredns.yaml"
	manifest kc_manifest_flannel, "addons/flannel/flannel.yaml"

	.section .note.GNU-stack, "", @progbits
