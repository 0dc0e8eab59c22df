// Who would read a question, and how is that known? Nothing is asked.
//   CONFIDENTIALCHAT_SERVER_URL=http://127.0.0.1:8080 CONFIDENTIALCHAT_API_KEY=cc_... dotnet run samples/verify.cs
#:project ../src/ConfidentialChat.Client/ConfidentialChat.Client.csproj
#:property RestorePackagesWithLockFile=false


using ConfidentialChat.Client;

using var client = new ConfidentialChatClient();
foreach (var model in (await client.Models.ListAsync()).Data)
{
    try
    {
        var node = await client.VerifyNodeAsync(model.Id);
        Console.WriteLine($"{model.Id}: {node}, {node.Verdict.Factors.Count} checks, sealed to until {node.SealBefore:u}");
    }
    catch (AttestationException e)
    {
        Console.WriteLine($"{model.Id}: {e.Message}");
    }
}
