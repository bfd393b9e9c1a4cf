#!/bin/sh
# The main job on the embedded default: a cluster whose machines are containers on this
# host, bootstrapped over SSH like bare metal, and four web servers in it that answer.
# usage: tools/demo.sh [down]      DEMO_CLUSTER (local) and KUBECDN_STATE say which cluster
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
kubecdn=$top/build/release/bin/kubecdn
name=${DEMO_CLUSTER:-local}
kubeconfig=$top/build/$name.kubeconfig
page=http://hello.default.svc.cluster.local/

if [ "${1:-}" = down ]; then
	"$kubecdn" cluster delete "$name" --yes
	rm -f "$kubeconfig"
	exit 0
fi

now() { date +%s.%N; }
since() { echo "$1 $(now)" | awk '{printf "%.1f s", $2 - $1}'; }
step() { printf '\n$ %s\n' "$*"; }
fail() {
	echo "demo: $*" >&2
	exit 1
}
kubectl() { "$bin/kubectl" --kubeconfig "$kubeconfig" "$@"; }
# show ARGUMENTS...: say the command, then run it
show() {
	step "kubectl $*"
	kubectl "$@"
}
# answers URL: ask forty times from a pod and count who answered, until all four pods and so
# both nodes did: kube-proxy hears of a ready pod a moment after kubectl does. (wget -T crashes in
# Debian's static busybox.)
answers() {
	deadline=$(($(date +%s) + 30))
	while :; do
		kubectl exec "$pod" -- /bin/sh -c \
			"for i in \$(seq 40); do timeout 5 wget -q -O - $1 || exit 1; done" >"$seen" ||
			fail "$1 does not answer"
		[ "$(sort -u "$seen" | wc -l)" = 4 ] && break
		[ "$(date +%s)" -lt "$deadline" ] ||
			fail "$1: only these answered: $(sort -u "$seen" | tr '\n' ',')"
	done
	sort "$seen" | uniq -c
	[ "$(sed 's/.* on //' "$seen" | sort -u | wc -l)" = 2 ] ||
		fail "$1: both nodes should have answered"
}

[ "$(id -u)" = 0 ] || fail "the lab's machines are containers, which takes root: run as root"
seen=$(mktemp)
trap 'rm -f "$seen"' EXIT

begin=$(now)
dirs=$("$top/tools/bundle.sh" "$kubecdn")
bundle=$(echo "$dirs" | sed -n 1p)
bin=$(echo "$dirs" | sed -n 2p)
took_bundle=$(since "$begin")

step "kubecdn cluster create $name --cloud local --workers 1 --yes"
begin=$(now)
"$kubecdn" cluster create "$name" --cloud local --workers 1 --yes --bundle "$bundle"
took_create=$(since "$begin")

begin=$(now)
step "kubecdn cluster export kubeconfig $name --to $kubeconfig"
"$kubecdn" cluster export kubeconfig "$name" --to "$kubeconfig"
show get nodes -o wide
step "kubectl apply -f examples/hello.yaml"
image=$(jq -r .images.busybox.ref "$bundle/bundle.json")
sed "s#bundle:busybox#$image#" "$top/examples/hello.yaml" | kubectl apply -f -
kubectl rollout status deployment/hello --timeout=120s
show get pods -l app=hello -o wide
took_pods=$(since "$begin")

begin=$(now)
pod=$(kubectl get pods -l app=hello -o 'jsonpath={.items[0].metadata.name}')
address=$(kubectl get service hello -o 'jsonpath={.spec.clusterIP}')
step "from pod $pod, forty times: wget http://$address/      (the Service's address)"
answers "http://$address/"
step "from pod $pod, forty times: wget $page      (its name)"
answers "$page"
show exec "$pod" -- cat /www/index.html
step "kubectl logs $pod | tail -n 2"
kubectl logs "$pod" >"$seen"
grep -q 'response:200' "$seen" || fail "the log of $pod has no answered request"
tail -n 2 "$seen"
took_answers=$(since "$begin")

cat <<END

bundle $took_bundle, create $took_create, four pods $took_pods, answers, exec and logs $took_answers
The cluster is up and stays up. To use it:
  export KUBECONFIG=$kubeconfig PATH=$bin:\$PATH
  kubectl get pods -A
To delete it:
  make demo-down
END
