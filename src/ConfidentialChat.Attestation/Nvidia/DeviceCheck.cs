// spec/attestation.md section 19.
using System.Security.Cryptography;
using ConfidentialChat.Attestation.Certificates;
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Attestation.Nvidia;

/// <summary>One verification of some devices: what they share, RIM files and certificates above the device, is checked once. Not for several threads.</summary>
internal sealed class DeviceCheck : IDisposable
{
    private const int PathSize = 5; // leaf, chip, provisioner, identity, root
    private const int NvdecIndex = 35;

    private readonly Policy policy;
    private readonly bool isRaw;
    private readonly ReadOnlyMemory<byte>? nonce;
    private readonly DeviceFindings on;
    private readonly VendorPath paths = new();
    private readonly DeviceDocuments documents;
    private readonly List<CertificateList> given = [];

    public DeviceCheck(Policy policy, Findings findings, bool isRaw, ReadOnlyMemory<byte>? nonce, ReadOnlyMemory<byte>? ocspNonce)
    {
        this.policy = policy;
        this.isRaw = isRaw;
        this.nonce = nonce;
        on = new DeviceFindings(findings);
        documents = new DeviceDocuments(policy, paths, on, ocspNonce);
    }

    public IReadOnlyList<NvidiaDevice> Run(IReadOnlyList<NvidiaEvidence> devices)
    {
        var read = new List<Read>();
        for (var i = 0; i < devices.Count; i++)
            read.Add(CheckDevice(devices[i], devices.Count == 1 ? "" : $"device[{i}]"));

        // 9 to 12: each document once, whoever named it.
        var named = read.Zip(devices).Select(pair => documents.Take(pair.Second.Documents)).ToList();
        documents.CheckRims();
        documents.CheckRevocation(read.Where(device => device.Path is not null).Select(device => device.Path!));

        // 15 to 23.
        foreach (var (device, rims) in read.Zip(named))
            CheckFirmware(device, rims);
        CheckTogether(read);
        on.Write();
        return [.. read.Select(device => device.Device)];
    }

    public void Dispose()
    {
        documents.Dispose();
        paths.Dispose();
        given.ForEach(list => list.Dispose());
    }

    // 1 to 7. The numbers are those of the specification.
    private Read CheckDevice(NvidiaEvidence evidence, string whose)
    {
        // 1.
        var isParsed = on.Report(
            NvidiaFactors.Report, whose, MeasurementReport.TryParse(evidence.Report.Span, out var report), "an SPDM 1.1 report",
            report is null ? "" : $"{report.Measurements.Count} measurements");
        if (!isParsed)
            return new Read(whose, new NvidiaDevice(), null, null);

        // 2, 3.
        var device = new NvidiaDevice { Report = report };
        if (CertificateList.TryParse(evidence.Certificates.Span, Bounds.DeviceCertificates, out var list) is { } unreadable)
        {
            on.Report(NvidiaFactors.Path, whose, unreadable, "", "");
            return new Read(whose, device, null, null);
        }

        given.Add(list!);
        var leaf = list!.Items[0];
        var root = policy.DangerousTestRoots?.NvidiaDevice ?? NvidiaRoots.Device;
        var architecture = CheckPath(list.Items, root, evidence.Architecture, whose, out var isFsp, out var stands);
        if (architecture is null)
            return new Read(whose, device, null, null);
        device = device with { Architecture = architecture, IsFsp = isFsp, Id = ChipId(list.Items) };

        // 4.
        var rejection = paths.TryTake(leaf, out var key);
        if (rejection is null && !key!.Verify(report!.Signed, report.Signature))
            rejection = new Rejection(RejectionCode.BadSignature, $"signed by the {leaf}", "another signature");
        on.Report(NvidiaFactors.Signature, whose, rejection, "signed by the leaf", "signed by the leaf");

        // 5, 6, 7, 13.
        device = device with { OpaqueData = CheckOpaqueData(report!, device, whose) };
        var extension = CheckFwid(leaf, device, whose);
        var shown = Shown.Hex(report!.Nonce.Span);
        if (nonce is { } expected)
            on.Check(NvidiaFactors.Nonce, whose, report.Nonce.Span.SequenceEqual(expected.Span), RejectionCode.Mismatch, Shown.Hex(expected.Span), shown);
        else
            on.Skip(NvidiaFactors.Nonce, whose, $"{shown} (nothing expected)");
        return new Read(whose, device, !stands ? null : list.Items.Count == PathSize ? list.Items : [.. list.Items, root], extension);
    }

    // 2, 3.
    private DeviceArchitecture? CheckPath(
        IReadOnlyList<Certificate> path, Certificate root, string? declared, string whose, out bool isFsp, out bool stands)
    {
        (isFsp, stands) = (false, false);
        var fault = paths.Fault(
            path, PathSize, certificate => certificate.Der.Span.SequenceEqual(root.Der.Span) || (policy.DangerousTestRoots?.NvidiaDevice is null
                && NvidiaRoots.IsSecondDeviceRoot(certificate)), root, on.Findings);
        if (DeviceArchitecture.OfLeaf(path[0]) is not var (chip, prefix, isFspLeaf))
        {
            fault ??= new Rejection(RejectionCode.BadCertificate, "a device's leaf: GH100 A01 GSP FMC LF ...", path[0].ToString());
            on.Report(NvidiaFactors.Path, whose, fault, "", "");
            return null;
        }

        isFsp = isFspLeaf;
        var known = DeviceArchitecture.OfChip(chip);
        if (known is not null && fault is null
            && (path[1].CommonName != $"{prefix} BROM" || !known.IsIca(path[2].CommonName) || path[3].CommonName != known.Identity))
            fault = new Rejection(
                RejectionCode.BadCertificate, $"{prefix} BROM, a provisioner of it, {known.Identity}",
                Shown.List(path.Skip(1).Take(3).Select(item => item.CommonName)));
        stands = on.Report(NvidiaFactors.Path, whose, fault, $"a path to the pinned {root}", $"a path to the pinned {root}");
        var rejection = known is null
            ? new Rejection(RejectionCode.Unsupported, Shown.List(DeviceArchitecture.All.Select(item => item.Chip)), Shown.Text(chip))
            : declared is not null && declared != known.Name ? new Rejection(RejectionCode.Mismatch, known.Name, Shown.Text(declared))
            : null;
        on.Report(NvidiaFactors.Architecture, whose, rejection, known?.Name ?? "", known is null ? "" : $"{known.Name}, {known.Chip}");
        return known;
    }

    // The chip's certificate has its id behind two digits of its firmware's kind.
    private static string? ChipId(IReadOnlyList<Certificate> path)
    {
        if (path.Count < 2)
            return null;
        try
        {
            foreach (var part in path[1].X509.SubjectName.EnumerateRelativeDistinguishedNames())
            {
                if (!part.HasMultipleElements && part.GetSingleElementType().Value == "2.5.4.5" && part.GetSingleElementValue() is { Length: 18 } serial
                    && serial.All(char.IsAsciiHexDigit))
                    return serial[2..].ToLowerInvariant();
            }
        }
        // A stranger's name is decoded only here.
        catch (CryptographicException)
        {
        }

        return null;
    }

    // 5.
    private OpaqueData? CheckOpaqueData(MeasurementReport report, NvidiaDevice device, string whose)
    {
        if (report.OpaqueBytes.IsEmpty && device is { IsFsp: true, Architecture.IsSwitch: false })
        {
            on.Skip(NvidiaFactors.OpaqueData, whose, "none: a report of the FSP");
            return null;
        }

        OpaqueData? data = null;
        var rejection = report.OpaqueBytes.IsEmpty
            ? Rejection.Missing("opaque data")
            : OpaqueData.TryParse(report.OpaqueBytes, device.Architecture!.IsSwitch, out data);
        on.Report(
            NvidiaFactors.OpaqueData, whose, rejection, "entries, each once",
            data is null ? "" : $"{data.Entries.Count} entries{(data.IsVersioned ? ", versioned" : "")}");
        return data;
    }

    // 6, and what 13 needs.
    private DeviceExtension? CheckFwid(Certificate leaf, NvidiaDevice device, string whose)
    {
        if (DeviceExtension.TryRead(leaf, device.Architecture!.Fwid, out var extension) is { } rejection)
            on.Report(NvidiaFactors.Fwid, whose, rejection, "", "");
        else if (device.OpaqueData?.Fwid is { } fwid)
            on.Check(
                NvidiaFactors.Fwid, whose, fwid.Span.SequenceEqual(extension!.Fwid.Span), RejectionCode.Mismatch, Shown.Hex(extension.Fwid.Span),
                Shown.Hex(fwid.Span));
        else
            on.Skip(NvidiaFactors.Fwid, whose, $"{Shown.Hex(extension!.Fwid.Span)} in the leaf (the report names none)");
        return extension;
    }

    // 15 to 23 of one device.
    private void CheckFirmware(Read read, IReadOnlyList<RimFile> rims)
    {
        var (whose, device, accepted) = (read.Whose, read.Device, policy.Nvidia);
        if (device.Architecture is not { } architecture)
            return;
        CheckMode(whose, device, architecture);
        if (!architecture.IsSwitch)
            CheckVersion(NvidiaFactors.Driver, whose, device.OpaqueData?.DriverVersion, accepted.MinDriver is { } least ? [least] : [], sameLine: false);
        CheckVersion(NvidiaFactors.Vbios, whose, device.OpaqueData?.VbiosVersion, accepted.MinVbios, sameLine: true);

        var driver = architecture.IsSwitch
            ? null
            : CheckRim(NvidiaFactors.DriverRim, whose, device, [.. rims.Where(rim => !rim.IsVbios)], device.OpaqueData?.DriverVersion, null);
        var vbios = CheckRim(
            NvidiaFactors.VbiosRim, whose, device, [.. rims.Where(rim => rim.IsVbios)], device.OpaqueData?.VbiosVersion, device.OpaqueData?.VbiosRimId);
        var matches = CheckMeasurements(whose, device, driver, vbios);
        CheckMinSvn(whose, device, driver, vbios);

        // 13.
        var isWhole = matches && vbios is not null && (driver is not null || architecture.IsSwitch);
        if (read.Extension?.IsDebug is { } isDebug)
            on.Check(
                NvidiaFactors.Debug, whose, !isDebug || policy.DangerousAllowDebug, RejectionCode.Forbidden, "firmware that cannot be debugged",
                isDebug ? "the leaf's flags say debug" : "firmware that cannot be debugged");
        else if (isWhole)
            on.Report(NvidiaFactors.Debug, whose, null, "firmware that cannot be debugged", "the measurements of released firmware");
        else
            on.Skip(NvidiaFactors.Debug, whose, "neither certificate nor RIM files say");
    }

    // 15.
    private void CheckMode(string whose, NvidiaDevice device, DeviceArchitecture architecture)
    {
        if (device.OpaqueData is not { } data)
            on.Skip(NvidiaFactors.Mode, whose, "the report does not say");
        else if (architecture.IsSwitch)
            on.Check(
                NvidiaFactors.Mode, whose, data.IsLocked == true, RejectionCode.Forbidden, "a locked switch", data.IsLocked == true ? "locked" : "not locked");
        else if (data.Mode is not { } mode)
            on.Report(NvidiaFactors.Mode, whose, new Rejection(RejectionCode.Unsupported, "one known mode", "two, or an unknown one"), "", "");
        else
            on.Check(
                NvidiaFactors.Mode, whose, policy.Nvidia.Modes.Contains(mode), RejectionCode.Forbidden,
                Shown.List(policy.Nvidia.Modes.Select(NvidiaPolicy.Spell)), NvidiaPolicy.Spell(mode));
    }

    // 17, 18.
    private void CheckVersion(FactorName name, string whose, string? found, IReadOnlyList<string> floors, bool sameLine)
    {
        if (floors.Count == 0)
        {
            on.Skip(name, whose, found is null ? "the report does not say" : $"{Shown.Text(found)} (any is accepted)");
            return;
        }

        var expected = $"at least {Shown.List(floors)}";
        if (found is null)
            on.Report(name, whose, new Rejection(RejectionCode.Missing, expected, "no version in the report"), "", "");
        else if (!(sameLine ? FirmwareVersion.IsVbios(found) : FirmwareVersion.IsDriver(found)))
            on.Report(name, whose, new Rejection(RejectionCode.Unsupported, expected, Shown.Text(found)), "", "");
        else
            on.Check(
                name, whose, floors.Any(least => (!sameLine || found[..2] == least[..2]) && FirmwareVersion.IsAtLeast(found, least)), RejectionCode.OutOfDate,
                expected, found);
    }

    // 19, 20. The one file of this version; else the only one there is, so that what differs is shown.
    private RimFile? CheckRim(FactorName name, string whose, NvidiaDevice device, IReadOnlyList<RimFile> candidates, string? version, string? id)
    {
        var architecture = device.Architecture!;
        var fitting = candidates.Where(rim => rim.Version == version && architecture.Includes(rim)).ToList();
        var expected = $"the RIM file of {architecture.Product} {Shown.Text(version)}{(id is null ? "" : $", {Shown.Text(id)}")}";
        var fault = version is null ? new Rejection(RejectionCode.Missing, "a version in the report", "none")
            : fitting.Count > 1 ? Rejection.Malformed(expected, $"{fitting.Count} of them")
            : fitting.Count == 1 ? null
            : candidates.Count == 0 ? Rejection.Missing(expected)
            : new Rejection(RejectionCode.Mismatch, expected, Shown.List(candidates.Select(rim => $"{rim.Product} {rim.Edition} {rim.Version}")));
        var isDemanded = !isRaw && policy.Nvidia.RequireRims;
        if (candidates.Count == 0 && !isDemanded)
            on.Skip(name, whose, version is null ? "the report does not say" : $"{expected} was not given");
        else
            on.Report(name, whose, fault, expected, expected);
        if (fitting.Count > 1)
            return null;
        var chosen = fitting.Count == 1 ? fitting[0] : candidates.Count == 1 ? candidates[0] : null;
        if (chosen is not null)
            documents.CheckAge(chosen, whose);
        return chosen;
    }

    // 22.
    private bool CheckMeasurements(string whose, NvidiaDevice device, RimFile? driver, RimFile? vbios)
    {
        RimMeasurement[] expected = [.. driver?.Measurements ?? [], .. vbios?.Measurements ?? []];
        if (driver is null && vbios is null)
        {
            on.Skip(NvidiaFactors.Measurements, whose, $"{device.Report!.Measurements.Count} measurements (no RIM file)");
            return false;
        }

        var twice = expected.GroupBy(item => item.Index).Where(group => group.Count() > 1).Select(group => $"{group.Key}").ToList();
        var wrong = expected.Where(item => !Matches(device, item)).Select(item => $"{item.Index}").ToList();
        var rejection = twice.Count > 0 ? Rejection.Malformed("each index in one RIM file", $"in two: {Shown.List(twice)}")
            : wrong.Count > 0 ? new Rejection(
                RejectionCode.Mismatch, $"{expected.Length} measurements as published", $"{wrong.Count} others, at {Shown.List(wrong)}")
            : expected.Length == 0 ? Rejection.Malformed("measurements that count", "none")
            : null;
        return on.Report(NvidiaFactors.Measurements, whose, rejection, "measurements as published", $"{expected.Length} measurements as published");
    }

    private static bool Matches(NvidiaDevice device, RimMeasurement expected)
    {
        // Without the decoder its firmware is not loaded, and nothing was measured.
        if (expected.Index == NvdecIndex && device is { OpaqueData.IsNvdec0Disabled: true, Architecture.IsSwitch: false })
            return true;
        return device.Report!.Measurement(expected.Index + 1) is { IsDigest: true } block
            && expected.Alternatives.Any(alternative => block.Value.Span.SequenceEqual(alternative));
    }

    // 23.
    private void CheckMinSvn(string whose, NvidiaDevice device, RimFile? driver, RimFile? vbios)
    {
        RimMinimumSvn[] minimums = [.. driver?.MinimumSvns ?? [], .. vbios?.MinimumSvns ?? []];
        if (minimums.Length == 0)
        {
            on.Skip(NvidiaFactors.MinSvn, whose, "no RIM file names one");
            return;
        }

        Rejection? fault = null;
        if (minimums.DistinctBy(item => item.Type).Count() != minimums.Length
            || minimums.DistinctBy(item => item.Name, StringComparer.Ordinal).Count() != minimums.Length)
            fault = Rejection.Malformed("each minimum in one RIM file", "one in two");
        foreach (var minimum in minimums)
        {
            var found = device.OpaqueData?.Svn(minimum.Type);
            fault ??= found is null ? new Rejection(RejectionCode.Mismatch, $"{Shown.Text(minimum.Name)} at least {minimum.Least}", "no such security version")
                : (ulong)found < minimum.Least ? new Rejection(RejectionCode.OutOfDate, $"{Shown.Text(minimum.Name)} at least {minimum.Least}", $"{found}")
                : null;
        }

        on.Report(NvidiaFactors.MinSvn, whose, fault, "security versions as published", $"{minimums.Length} security versions");
    }

    // 8, 14, 16.
    private void CheckTogether(List<Read> read)
    {
        var known = read.Where(device => device.Device.Architecture is not null).Select(device => device.Device).ToList();
        if (known.Count == 0)
            return;
        // 8. Of a chip whose certificate names no id, the key stands for it.
        var twice = known.Where(device => device.Id is not null).GroupBy(device => device.Id).FirstOrDefault(group => group.Count() > 1)?.Key;
        var keys = read.Where(device => device.Path is not null).Select(device => Shown.Hex(device.Path![0].X509.PublicKey.EncodedKeyValue.RawData)).ToList();
        var oneKey = keys.Distinct(StringComparer.Ordinal).Count() != keys.Count;
        on.Check(
            NvidiaFactors.Distinct, "", twice is null && !oneKey, RejectionCode.Mismatch, "each device once",
            twice is not null ? $"{twice} twice" : oneKey ? "one key twice" : "each device once");

        // 16.
        var gpus = known.Count(device => !device.Architecture!.IsSwitch);
        var foreign = known.Find(device => !policy.Nvidia.Architectures.Contains(device.Architecture!.Name, StringComparer.OrdinalIgnoreCase));
        on.Report(
            NvidiaFactors.Devices, "",
            foreign is not null ? new Rejection(RejectionCode.Forbidden, Shown.List(policy.Nvidia.Architectures), foreign.Architecture!.Name)
            : gpus < policy.Nvidia.MinGpus ? new Rejection(RejectionCode.Missing, $"at least {policy.Nvidia.MinGpus} GPUs", $"{gpus}")
            : null,
            $"at least {policy.Nvidia.MinGpus} GPUs", $"{gpus} GPUs, {known.Count - gpus} switches");
        CheckTopology(known);
    }

    // 14.
    private void CheckTopology(List<NvidiaDevice> devices)
    {
        var linked = devices.Where(device => device.OpaqueData is not null
            && (device.Architecture!.IsSwitch || device.OpaqueData.Mode == DeviceMode.ProtectedPcie || device.OpaqueData.Switches.Count > 0)).ToList();
        if (linked.Count == 0)
        {
            on.Skip(NvidiaFactors.Topology, "", "no device names another");
            return;
        }

        var gpus = linked.Where(device => !device.Architecture!.IsSwitch).ToList();
        var switches = linked.Where(device => device.Architecture!.IsSwitch).ToList();
        var liar = switches.Find(device => device.OpaqueData!.SwitchId is not { } id || id != device.Id);
        var namedSwitches = gpus.SelectMany(device => device.OpaqueData!.Switches).Distinct(StringComparer.Ordinal).ToList();
        var namedGpus = switches.SelectMany(device => device.OpaqueData!.Gpus).Distinct(StringComparer.Ordinal).ToList();
        if (liar is null && isRaw && (gpus.Count == 0 || switches.Count == 0))
        {
            on.Skip(NvidiaFactors.Topology, "", gpus.Count == 0 ? $"{namedGpus.Count} GPUs were not given" : $"{namedSwitches.Count} switches were not given");
            return;
        }

        var everyGpuSees = gpus.TrueForAll(device => Same(device.OpaqueData!.Switches, switches.Select(item => item.Id)));
        var everySwitchSees = switches.TrueForAll(device => Same(device.OpaqueData!.Gpus, gpus.Select(item => item.Id)));
        on.Report(
            NvidiaFactors.Topology, "",
            liar is not null ? new Rejection(RejectionCode.Mismatch, $"switch {liar.Id}", $"a switch that calls itself {Shown.Text(liar.OpaqueData!.SwitchId)}")
            : gpus.Count == devices.Count(device => !device.Architecture!.IsSwitch) && everyGpuSees && everySwitchSees ? null
            : new Rejection(
                RejectionCode.Mismatch, $"the {gpus.Count} GPUs and {switches.Count} switches that are given, each linked with all of the others",
                $"GPUs name {Shown.List(namedSwitches)}; switches name {Shown.List(namedGpus)}"),
            "GPUs and switches that name each other", $"{gpus.Count} GPUs and {switches.Count} switches that name each other");

        static bool Same(IEnumerable<string> named, IEnumerable<string?> ids) =>
            named.Order(StringComparer.Ordinal).SequenceEqual(ids.Order(StringComparer.Ordinal), StringComparer.Ordinal);
    }

    /// <summary>A device, with its path where that stands.</summary>
    private sealed record Read(string Whose, NvidiaDevice Device, IReadOnlyList<Certificate>? Path, DeviceExtension? Extension);
}
