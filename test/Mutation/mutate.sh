#!/usr/bin/env bash
# Mutation testing by Stryker.NET: the code is made wrong in one place after another, and a test has to notice. docs/mutation.md has the scores.
#   test/Mutation/mutate.sh                   today's share: shares take turns by the number of days since 1970
#   test/Mutation/mutate.sh --share NAME      one share; --list prints their names
#   test/Mutation/mutate.sh --all             each of them, hours
#   test/Mutation/mutate.sh AREA GLOB...      these files of an area: Tdx '**/Tdx/TdxQuote.cs'
# A score below 85 % fails. Reports are in artifacts/mutation.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"

# name, project whose tests run, area of these, files.
shares=(
  "quote Attestation Tdx Tdx/TdxQuote.cs Tdx/PckExtension.cs Tdx/TdxTcb.cs Tdx/TcbStatus.cs"
  "intel-documents Attestation Tdx Tdx/TcbInfo.cs Tdx/QeIdentity.cs Tdx/IntelDocument.cs Tdx/TcbEvaluations.cs"
  "tdx-appraisal Attestation TdxPolicy Tdx/TdxAppraisal.cs Tdx/TdxPolicy.cs"
  "tdx-verifier Attestation TdxVerifier Tdx/TdxVerifier.cs Tdx/TdxCollateral.cs Tdx/TdxCpuVerifier.cs Tdx/IntelRoot.cs"
  "event-log Attestation EventLog Tdx/EventLog.cs"
  "snp-report Attestation SevSnp SevSnp/SevSnpReport.cs SevSnp/TcbVersion.cs SevSnp/VekExtensions.cs SevSnp/Vek.cs"
  "snp-verifier Attestation SevSnp SevSnp/SevSnpVerifier.cs SevSnp/SevSnpProduct.cs SevSnp/SevSnpCollateral.cs SevSnp/SevSnpCpuVerifier.cs SevSnp/AmdRoots.cs"
  "snp-appraisal Attestation SevSnpPolicy SevSnp/SevSnpAppraisal.cs SevSnp/SevSnpPolicy.cs"
  "certificates Attestation Certificates Certificates/Certificate.cs Certificates/CertificatePath.cs"
  "lists-and-keys Attestation Readers Certificates/RevocationList.cs Certificates/VerificationKey.cs Certificates/PinnedRoot.cs ByteReader.cs JsonFields.cs"
  "bundle Attestation Bundles Bundles/EvidenceBundle.cs Bundles/BundleStatement.cs Bundles/LiveEvidence.cs Bundles/ChallengeTree.cs Bundles/LiveAnswers.cs DocumentSet.cs Digest32.cs"
  "bundle-verifier Attestation Bundles Bundles/BundleVerifier.cs Bundles/KeptVerdicts.cs Bundles/SimulatedCpuVerifier.cs Findings.cs Factor.cs Verdict.cs Shown.cs"
  "policy Attestation Bundles Policies/*.cs"
  "forms Attestation Bundles Collateral/*.cs"
  "device-report Attestation Nvidia Nvidia/MeasurementReport.cs Nvidia/OpaqueData.cs Nvidia/DeviceArchitecture.cs Nvidia/FirmwareVersion.cs"
  "device-path Attestation Nvidia Nvidia/VendorPath.cs Nvidia/DeviceExtension.cs Nvidia/DeviceList.cs Nvidia/DeviceFindings.cs Nvidia/NvidiaRoots.cs"
  "device-check Attestation Nvidia Nvidia/DeviceCheck.cs Nvidia/NvidiaPolicy.cs Nvidia/NvidiaVerifier.cs Nvidia/NvidiaDeviceVerifier.cs"
  "rim Attestation Nvidia Nvidia/RimFile.cs Nvidia/CanonicalXml.cs"
  "device-documents Attestation Nvidia Nvidia/DeviceDocuments.cs Nvidia/OcspAnswer.cs"
  "nras Attestation Nvidia Nvidia/Nras*.cs"
  "binary-http Protocol BinaryHttp Oblivious/BinaryHttp/*.cs"
  "chunks Protocol Oblivious Oblivious/Chunk*.cs Oblivious/Varint.cs Oblivious/RequestHeader.cs Oblivious/KeyConfiguration*.cs"
  "cose Protocol Cose Cose/*.cs"
  "event-streams Protocol Shape Shape/EventPacer.cs Shape/EventScanner.cs Shape/EventUnpadder.cs"
  "padding Protocol Shape Shape/EventPadder.cs Shape/MessagePadding.cs Shape/Padme.cs"
)

# One run: project, area, globs. Its report is the last word on these files.
mutate() {
  local project=$1 area=$2 name=$3 globs= glob
  shift 3
  for glob in "$@"; do globs+="${globs:+, }\"**/${glob#\*\*/}\""; done
  local out=$PWD/../../artifacts/mutation/$name
  rm -rf "$out/reports" # a run that fails leaves no score of before
  mkdir -p "$out"
  cat >"$out/config.json" <<JSON
{ "stryker-config": {
  "project": "ConfidentialChat.$project.csproj", "test-projects": ["ConfidentialChat.$project.Mutation.csproj"], "test-runner": "mtp",
  "configuration": "Release", "coverage-analysis": "perTest", "concurrency": ${CONFIDENTIALCHAT_MUTATION_WORKERS:-2}, "mutate": [$globs],
  "reporters": ["json", "html"], "thresholds": { "high": 95, "low": 85, "break": 85 }, "additional-timeout": 10000,
  "ignore-mutations": ["string"], "disable-bail": true, "disable-mix-mutants": true
} }
JSON
  echo "mutate.sh: $name" >&2
  (cd "$project" && MutationArea=$area ReadyToRunBuild=false dotnet stryker -f "$out/config.json" -O "$out" --skip-version-check --verbosity warning >"$out/log" 2>&1) || {
    local status=$?
    grep -E "ERR|error|score" "$out/log" | tail -5 >&2 || true
    python3 score.py "$out/reports/mutation-report.json" || true
    return "$status"
  }
  python3 score.py "$out/reports/mutation-report.json"
}

share() {
  local row=() name project area
  read -ra row <<<"$1"
  name=${row[0]} project=${row[1]} area=${row[2]}
  mutate "$project" "$area" "$name" "${row[@]:3}"
}

# The chips of the tests take seconds to make their keys, and test hosts start anew where a mutant hangs.
chip_keys() {
  export DOTNET_TieredPGO=0 # a host is young for most of what it runs
  command -v openssl >/dev/null || return 0
  export CONFIDENTIALCHAT_CHIP_KEYS=$PWD/../../artifacts/mutation/keys
  mkdir -p "$CONFIDENTIALCHAT_CHIP_KEYS"
  local name
  for name in root issuer; do openssl genrsa -out "$CONFIDENTIALCHAT_CHIP_KEYS/$name.pem" 4096 2>/dev/null; done
}

dotnet tool restore --verbosity quiet >&2
[[ ${1:-} == --list || ${1:-} == -h || ${1:-} == --help ]] || chip_keys
case "${1:-}" in
  "") share "${shares[$(($(date +%s) / 86400 % ${#shares[@]}))]}" ;;
  --list) printf '%s\n' "${shares[@]}" | cut -d' ' -f1 ;;
  --share)
    for row in "${shares[@]}"; do [[ ${row%% *} != "${2:-}" ]] || { share "$row"; exit; }; done
    echo "error: no such share: ${2:-}" >&2; echo "hint: test/Mutation/mutate.sh --list" >&2; exit 2 ;;
  --all) status=0; for row in "${shares[@]}"; do share "$row" || status=1; done; exit "$status" ;;
  -h|--help) sed -n '2,7p' "${BASH_SOURCE[0]##*/}" | sed 's/^# \{0,1\}//' ;;
  -*) echo "error: unknown option: $1" >&2; echo "hint: test/Mutation/mutate.sh --help" >&2; exit 2 ;;
  *) area=$1; shift; project=Attestation; [[ $area =~ ^(BinaryHttp|Oblivious|Cose|Shape)$ ]] && project=Protocol; mutate "$project" "$area" chosen "$@" ;;
esac
