using ConfidentialChat.Cli;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary>What stands in a cell of CSV, whoever chose it.</summary>
public sealed class ListingTests
{
    [Theory]
    [InlineData("alice", "alice")]
    [InlineData("=1+1", "'=1+1")]
    [InlineData("+1", "'+1")]
    [InlineData("-1", "'-1")]
    [InlineData("@SUM(A1)", "'@SUM(A1)")]
    [InlineData("  =1+1", "'  =1+1")]
    [InlineData(" a ", "\" a \"")]
    [InlineData("\u00A0=1+1", "'\u00A0=1+1")]
    [InlineData("\uFF1D1+1", "'\uFF1D1+1")]
    [InlineData("a,b", "\"a,b\"")]
    [InlineData("a;=1+1", "\"a;=1+1\"")]
    [InlineData("a\"b", "\"a\"\"b\"")]
    [InlineData("two\nlines\u001b[2J", "two\uFFFDlines\uFFFD[2J")]
    [InlineData("", "")]
    [InlineData(null, "")]
    [InlineData(-125L, "-125")]
    public void A_text_is_no_formula_and_a_number_stays_one(object? value, string cell) => Listing.Cell(value).ShouldBe(cell);

    [Theory]
    [InlineData(0, "0.000000")]
    [InlineData(-1, "-0.000001")]
    [InlineData(25_000_125, "25.000125")]
    [InlineData(long.MinValue, "-9223372036854.775808")]
    public void Dollars_have_all_six_places(long microDollars, string dollars) => Listing.Dollars(microDollars).ShouldBe(dollars);
}
