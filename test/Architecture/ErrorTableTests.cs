using System.Text.RegularExpressions;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.V1;
using ConfidentialChat.Sidecar.Errors;

namespace ConfidentialChat.Architecture.Tests;

/// <summary>spec/envelope-v1.md section 9 and its one table in code.</summary>
public sealed class ErrorTableTests
{
    [Fact]
    public void Specification_and_code_have_the_same_errors_with_the_same_status()
    {
        var section = Regex.Match(Repository.Read("spec/envelope-v1.md"), @"^## 9\. [\s\S]*?(?=^## 10\. )", RegexOptions.Multiline).Value;
        string[] specified =
        [
            .. Regex.Matches(section, @"^\| (?<status>\d{3}) \| (?<code>[A-Z_]+) \|", RegexOptions.Multiline)
                .Select(row => $"{row.Groups["status"].Value} {row.Groups["code"].Value}"),
        ];
        specified.Length.ShouldBeGreaterThan(20);
        specified.ShouldBeUnique();
        RequestErrors.Table.Select(row => $"{row.Status} {row.Code}").ShouldBe(specified, ignoreOrder: true);
    }

    [Fact]
    public void The_sidecars_specification_and_code_have_the_same_errors()
    {
        var section = Regex.Match(Repository.Read("spec/sidecar.md"), @"^## 5\. [\s\S]*?(?=^## 6\. )", RegexOptions.Multiline).Value;
        string[] specified =
        [
            .. Regex.Matches(section, @"^\| (?<status>\d{3}) \| (?<code>[A-Z_]+) \| (?<type>\w+) \|", RegexOptions.Multiline)
                .Select(row => $"{row.Groups["status"].Value} {row.Groups["code"].Value} {row.Groups["type"].Value}"),
        ];
        SidecarErrors.Table.Select(row => $"{row.Status} {row.Code} {row.Type}").ShouldBe(specified);
        SidecarErrors.Table.Select(row => row.Error).ShouldBe(Enum.GetValues<SidecarError>(), ignoreOrder: true);
    }

    [Fact]
    public void Every_error_has_its_row() => RequestErrors.Table.Select(row => row.Error).ShouldBe(Enum.GetValues<RequestError>(), ignoreOrder: true);
}
